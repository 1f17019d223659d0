// ids.cc: hexadecimal text of identifiers by table (snprintf costs fifteen times as much).
#include "telemetry/ids.h"

#include <span>

namespace hms::telemetry {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

constexpr std::array<std::array<char, 2>, 256> kBytePairs = [] {
  std::array<std::array<char, 2>, 256> pairs{};
  for (size_t i = 0; i < 256; ++i) pairs[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return pairs;
}();

constexpr std::array<int8_t, 256> kDigitValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (uint8_t i = 0; i < 10; ++i) values[size_t{'0'} + i] = static_cast<int8_t>(i);
  for (uint8_t i = 0; i < 6; ++i) {
    values[size_t{'a'} + i] = static_cast<int8_t>(10 + i);
    values[size_t{'A'} + i] = static_cast<int8_t>(10 + i);
  }
  return values;
}();

void write_bytes(std::span<const uint8_t> bytes, char* out) noexcept {
  for (const uint8_t byte : bytes) {
    std::memcpy(out, kBytePairs[byte].data(), 2);
    out += 2;
  }
}

bool parse_bytes(std::string_view hex, std::span<uint8_t> out) noexcept {
  if (hex.size() != out.size() * 2) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int8_t high = kDigitValues[static_cast<uint8_t>(hex[2 * i])];
    const int8_t low = kDigitValues[static_cast<uint8_t>(hex[2 * i + 1])];
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace

void write_hex(const TraceId& id, char* out) noexcept { write_bytes(id.bytes, out); }
void write_hex(const SpanId& id, char* out) noexcept { write_bytes(id.bytes, out); }

std::string to_hex(const TraceId& id) {
  std::string text(32, '0');
  write_hex(id, text.data());
  return text;
}

std::string to_hex(const SpanId& id) {
  std::string text(16, '0');
  write_hex(id, text.data());
  return text;
}

std::optional<TraceId> parse_trace_id(std::string_view hex) noexcept {
  TraceId id;
  if (!parse_bytes(hex, id.bytes)) return std::nullopt;
  return id;
}

std::optional<SpanId> parse_span_id(std::string_view hex) noexcept {
  SpanId id;
  if (!parse_bytes(hex, id.bytes)) return std::nullopt;
  return id;
}

}  // namespace hms::telemetry
