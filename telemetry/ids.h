// ids.h: trace and span identifiers (W3C Trace Context sizes) and their hexadecimal text.
// Header-only values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace hms::telemetry {

struct TraceId {
  std::array<uint8_t, 16> bytes{};
  [[nodiscard]] bool is_zero() const noexcept { return bytes == std::array<uint8_t, 16>{}; }
  auto operator<=>(const TraceId&) const = default;
};

struct SpanId {
  std::array<uint8_t, 8> bytes{};
  [[nodiscard]] bool is_zero() const noexcept { return bytes == std::array<uint8_t, 8>{}; }
  auto operator<=>(const SpanId&) const = default;
};

/// Lower-case hexadecimal, 32 or 16 digits.
[[nodiscard]] std::string to_hex(const TraceId& id);
[[nodiscard]] std::string to_hex(const SpanId& id);
/// Writes 32 or 16 digits at `out`, no terminator. About 7 ns (table).
void write_hex(const TraceId& id, char* out) noexcept;
void write_hex(const SpanId& id, char* out) noexcept;
/// Exactly 32 (16) hexadecimal digits in either case.
[[nodiscard]] std::optional<TraceId> parse_trace_id(std::string_view hex) noexcept;
[[nodiscard]] std::optional<SpanId> parse_span_id(std::string_view hex) noexcept;

/// The 128 bits that stand for an `x-trace` text: a UUID or 32 hexadecimal digits is itself, any
/// other text its hash (see trace_context.cc for the function; it is part of the stored format).
/// Empty text gives zero.
[[nodiscard]] TraceId trace_id_of_text(std::string_view x_trace) noexcept;
/// True if `trace_id_of_text` takes the text literally, so that it need not be stored beside the
/// id.
[[nodiscard]] bool is_literal_trace_text(std::string_view x_trace) noexcept;

}  // namespace hms::telemetry

template <>
struct std::hash<hms::telemetry::TraceId> {
  size_t operator()(const hms::telemetry::TraceId& id) const noexcept {
    uint64_t low;
    std::memcpy(&low, id.bytes.data() + 8, sizeof low);  // the random half of a version 7 UUID
    uint64_t high;
    std::memcpy(&high, id.bytes.data(), sizeof high);
    return static_cast<size_t>(low ^ (high * 0x9E3779B97F4A7C15ULL));
  }
};
template <>
struct std::hash<hms::telemetry::SpanId> {
  size_t operator()(const hms::telemetry::SpanId& id) const noexcept {
    uint64_t value;
    std::memcpy(&value, id.bytes.data(), sizeof value);
    return static_cast<size_t>(value);
  }
};
