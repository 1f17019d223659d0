#include "telemetry/otlp_encode_parts.h"

#include <charconv>

#include "telemetry/text.h"

namespace hms::telemetry::otlp {
namespace {

/// The scope of everything sent: which program measured it.
constexpr const char* kScopeName = "hms-proxy";

// Keys of fields: number << 3 | wire type.
constexpr char kKeyField = 1 << 3 | 2;    // KeyValue.key
constexpr char kValueField = 2 << 3 | 2;  // KeyValue.value
constexpr char kTextField = 1 << 3 | 2;   // AnyValue.string_value
constexpr char kNumberField = 3 << 3;     // AnyValue.int_value

size_t varint_bytes(uint64_t value) noexcept {
  return static_cast<size_t>(protozero::length_of_varint(value));
}

char* put_varint(char* at, uint64_t value) noexcept {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>((value & 0x7f) | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

void append_key(std::string& out, std::string_view key) {
  char head[16];
  head[0] = kKeyField;
  out.append(head, put_varint(head + 1, key.size()));
  out += key;
}

/// Three digits at most; a view into `digits`.
std::string_view status_text(uint16_t status, char (&digits)[8]) {
  return {digits,
          static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, status).ptr - digits)};
}

}  // namespace

void append_key_value(std::string& out, std::string_view key, std::string_view text) {
  if (!is_valid_utf8(text)) return append_key_value(out, key, repaired_utf8(text));
  append_key(out, key);
  char head[32];
  head[0] = kValueField;
  char* end = put_varint(head + 1, 1 + varint_bytes(text.size()) + text.size());
  *end++ = kTextField;
  out.append(head, put_varint(end, text.size()));
  out += text;
}

void append_key_value(std::string& out, std::string_view key, int64_t number) {
  append_key(out, key);
  const auto bits = static_cast<uint64_t>(number);
  char head[32];
  head[0] = kValueField;
  char* end = put_varint(head + 1, 1 + varint_bytes(bits));
  *end++ = kNumberField;
  out.append(head, put_varint(end, bits));
}

void add_text(pbf_writer& writer, uint32_t tag, std::string_view text) {
  if (is_valid_utf8(text)) {
    writer.add_string(tag, text.data(), text.size());
  } else {
    writer.add_string(tag, repaired_utf8(text));
  }
}

std::string resource_fields(const ResourceIdentity& identity) {
  std::string out;
  pbf_writer resource(out);
  add_attribute(resource, 1, "service.name", std::string_view(identity.service_name));
  const auto add_known = [&resource](std::string_view key, std::string_view value) {
    if (!value.empty()) add_attribute(resource, 1, key, value);
  };
  add_known("service.version", identity.service_version);
  add_known("service.instance.id", identity.service_instance_id);
  for (const auto& [key, value] : identity.extra)
    add_attribute(resource, 1, key, std::string_view(value));
  return out;
}

std::string scope_fields() {
  std::string out;
  pbf_writer(out).add_string(1, kScopeName);
  return out;
}

void add_request_attributes(pbf_writer& owner, uint32_t tag, const SeriesKey& key,
                            std::string_view route, std::string_view upstream) {
  add_attribute(owner, tag, "http.request.method", method_name(key.method));
  add_attribute(owner, tag, "url.scheme", std::string_view(key.tls ? "https" : "http"));
  if (!route.empty()) add_attribute(owner, tag, "http.route", route);
  if (key.status >= 100)
    add_attribute(owner, tag, "http.response.status_code", int64_t{key.status});
  char digits[8];
  if (key.error_type != ErrorType::none) {
    add_attribute(owner, tag, "error.type", error_type_name(key.error_type));
  } else if (is_error_status(key)) {
    add_attribute(owner, tag, "error.type", status_text(key.status, digits));
  }
  if (!upstream.empty()) add_attribute(owner, tag, "hms.upstream", upstream);
}

}  // namespace hms::telemetry::otlp
