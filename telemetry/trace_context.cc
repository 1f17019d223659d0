// trace_context.cc: W3C Trace Context, B3 and `x-trace`.
//
// Stored format: the 128 bits of a free `x-trace` text are XXH3_128bits(text), seed 0, in xxHash's
// canonical (big-endian) byte order (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md, stable
// since 0.8.0), with the last byte set to 1 should all be zero. It names a trace, it does not
// protect anything: whoever can choose an x-trace can join any trace anyway. Sources: W3C Trace
// Context 3.2 (traceparent) and 3.3 (tracestate); github.com/openzipkin/b3-propagation.
#include "telemetry/trace_context.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "net/core/random.h"
#include "telemetry/hash.h"

namespace hms::telemetry {
namespace {

bool is_lower_hex(std::string_view text) noexcept {
  for (const char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

/// The identity that a text is by itself: a UUID in its 8-4-4-4-12 form or 32 hexadecimal digits,
/// in either case. All zero names no trace.
std::optional<TraceId> literal_id(std::string_view text) noexcept {
  char digits[32];
  if (text.size() == 36) {
    if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
      return std::nullopt;
    std::memcpy(digits, text.data(), 8);
    std::memcpy(digits + 8, text.data() + 9, 4);
    std::memcpy(digits + 12, text.data() + 14, 4);
    std::memcpy(digits + 16, text.data() + 19, 4);
    std::memcpy(digits + 20, text.data() + 24, 12);
    text = std::string_view(digits, sizeof digits);
  }
  const auto id = parse_trace_id(text);
  if (!id || id->is_zero()) return std::nullopt;
  return id;
}

bool is_usable_x_trace(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMaxXTraceBytes) return false;
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;  // also every byte above 0x7f: char is signed here
  }
  return true;
}

/// What one carrier said: ids may be missing (`b3: 0` is a sampling decision alone).
struct Carried {
  TraceId trace_id;
  SpanId span_id;
  bool has_ids = false;
  std::optional<bool> sampled;
};

/// Version 00 is exactly 55 bytes; a higher one may go on after a dash; ff is invalid.
std::optional<Carried> parse_traceparent(std::string_view text) noexcept {
  if (text.size() < kTraceparentBytes) return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  if (!is_lower_hex(version) || version == "ff") return std::nullopt;
  if (version == "00" && text.size() != kTraceparentBytes) return std::nullopt;
  if (text.size() > kTraceparentBytes && text[kTraceparentBytes] != '-') return std::nullopt;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view trace = text.substr(3, 32), span = text.substr(36, 16),
                         flags = text.substr(53, 2);
  if (!is_lower_hex(trace) || !is_lower_hex(span) || !is_lower_hex(flags)) return std::nullopt;
  Carried carried;
  carried.trace_id = *parse_trace_id(trace);
  carried.span_id = *parse_span_id(span);
  if (carried.trace_id.is_zero() || carried.span_id.is_zero()) return std::nullopt;
  carried.has_ids = true;
  const char low = flags[1];
  carried.sampled = ((low <= '9' ? low - '0' : low - 'a' + 10) & 1) != 0;
  return carried;
}

/// B3 ids: 32 or 16 digits of trace, 16 of span; a short trace id is padded on the left.
bool read_b3_ids(std::string_view trace, std::string_view span, Carried& carried) noexcept {
  char padded[32];
  if (trace.size() == 16) {
    std::memset(padded, '0', 16);
    std::memcpy(padded + 16, trace.data(), 16);
    trace = std::string_view(padded, sizeof padded);
  }
  const auto trace_id = parse_trace_id(trace);
  const auto span_id = parse_span_id(span);
  if (!trace_id || !span_id || trace_id->is_zero() || span_id->is_zero()) return false;
  carried.trace_id = *trace_id;
  carried.span_id = *span_id;
  carried.has_ids = true;
  return true;
}

std::optional<bool> b3_sampling(std::string_view text) noexcept {
  if (text == "1" || text == "d" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  return std::nullopt;
}

/// {trace}-{span}[-{sampled}[-{parent}]], or the sampling state alone.
std::optional<Carried> parse_b3_single(std::string_view text) noexcept {
  Carried carried;
  if (text.size() == 1) {
    carried.sampled = b3_sampling(text);
    if (!carried.sampled) return std::nullopt;
    return carried;
  }
  const size_t first = text.find('-');
  if (first == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(first + 1);
  const std::string_view span = rest.substr(0, 16);
  if (!read_b3_ids(text.substr(0, first), span, carried)) return std::nullopt;
  std::string_view tail = rest.substr(span.size());
  if (tail.empty()) return carried;
  if (tail.size() < 2 || tail[0] != '-') return std::nullopt;
  carried.sampled = b3_sampling(tail.substr(1, 1));
  if (!carried.sampled) return std::nullopt;
  tail.remove_prefix(2);
  if (!tail.empty() && (tail[0] != '-' || !parse_span_id(tail.substr(1)))) return std::nullopt;
  return carried;
}

std::optional<Carried> parse_b3_multi(const TraceHeaders& headers) noexcept {
  Carried carried;
  carried.sampled = b3_sampling(headers.b3_sampled);
  if (headers.b3_flags == "1") carried.sampled = true;  // debug implies accept
  read_b3_ids(headers.b3_trace_id, headers.b3_span_id, carried);
  if (!carried.has_ids && !carried.sampled) return std::nullopt;
  return carried;
}

SpanId new_span_id() noexcept {
  uint64_t value = net::random_u64();
  if (value == 0) value = 1;
  SpanId id;
  std::memcpy(id.bytes.data(), &value, sizeof value);
  return id;
}

void write_uuid(const TraceId& id, char* out) noexcept {
  char digits[32];
  write_hex(id, digits);
  std::memcpy(out, digits, 8);
  std::memcpy(out + 9, digits + 8, 4);
  std::memcpy(out + 14, digits + 12, 4);
  std::memcpy(out + 19, digits + 16, 4);
  std::memcpy(out + 24, digits + 20, 12);
  out[8] = out[13] = out[18] = out[23] = '-';
}

}  // namespace

TraceId trace_id_of_text(std::string_view x_trace) noexcept {
  if (x_trace.empty()) return {};
  if (const auto id = literal_id(x_trace)) return *id;
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(x_trace.data(), x_trace.size()));
  TraceId id;
  static_assert(sizeof canonical.digest == sizeof id.bytes);
  std::memcpy(id.bytes.data(), canonical.digest, sizeof id.bytes);
  if (id.is_zero()) id.bytes[15] = 1;
  return id;
}

bool is_literal_trace_text(std::string_view x_trace) noexcept {
  return literal_id(x_trace).has_value();
}

TraceContext read_trace_context(const TraceHeaders& headers) noexcept {
  TraceContext context;
  std::optional<Carried> carrier;
  bool from_traceparent = false;
  if (!headers.traceparent.empty()) {
    carrier = parse_traceparent(headers.traceparent);
    from_traceparent = carrier.has_value();
  }
  // B3 is noted whenever it came, because it is then written too; it decides only where traceparent
  // did not.
  if (!headers.b3.empty()) {
    if (auto b3 = parse_b3_single(headers.b3)) {
      context.came_as_b3_single = true;
      if (!carrier) carrier = b3;
    }
  }
  if (!headers.b3_trace_id.empty() || !headers.b3_sampled.empty() || !headers.b3_flags.empty()) {
    if (auto b3 = parse_b3_multi(headers)) {
      context.came_as_b3_multi = true;
      if (!carrier) carrier = b3;
    }
  }

  const bool has_ids = carrier && carrier->has_ids;
  bool parent_is_ours = has_ids;
  if (is_usable_x_trace(headers.x_trace)) {
    context.x_trace_text = headers.x_trace;
    const auto literal = literal_id(headers.x_trace);
    context.trace_id = literal ? *literal : trace_id_of_text(headers.x_trace);
    // A parent from another trace is no parent, unless x-trace is a name of the caller's own
    // making, which no id can equal.
    parent_is_ours = has_ids && (!literal || carrier->trace_id == *literal);
  } else if (has_ids) {
    context.trace_id = carrier->trace_id;
  } else {
    context.trace_id.bytes = net::uuid_v7();
    context.started_here = true;
  }
  if (parent_is_ours) context.parent_span_id = carrier->span_id;
  if (carrier && carrier->sampled && (parent_is_ours || !carrier->has_ids))
    context.sampled = *carrier->sampled;
  // Another trace-id is a restart of the trace, and then tracestate must not travel on (W3C 3.3).
  context.traceparent_valid = from_traceparent && carrier->trace_id == context.trace_id;
  context.span_id = new_span_id();
  write_uuid(context.trace_id, context.canonical_x_trace);
  return context;
}

void write_traceparent(const TraceContext& context, char* out) noexcept {
  std::memcpy(out, "00-", 3);
  write_hex(context.trace_id, out + 3);
  out[35] = '-';
  write_hex(context.span_id, out + 36);
  std::memcpy(out + 52, context.sampled ? "-01" : "-00", 3);
}

size_t write_b3_single(const TraceContext& context, char* out) noexcept {
  write_hex(context.trace_id, out);
  out[32] = '-';
  write_hex(context.span_id, out + 33);
  out[49] = '-';
  out[50] = context.sampled ? '1' : '0';
  if (context.parent_span_id.is_zero()) return 51;
  out[51] = '-';
  write_hex(context.parent_span_id, out + 52);
  return 68;
}

std::array<uint64_t, 2> hash_128(std::string_view text, uint64_t seed) noexcept {
  const XXH128_hash_t made = XXH3_128bits_withSeed(text.data(), text.size(), seed);
  return {made.low64, made.high64};
}

}  // namespace hms::telemetry
