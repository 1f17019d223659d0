#include <cstring>

#include "telemetry/otlp_encode_parts.h"
#include "telemetry/span_encoder.h"

namespace hms::telemetry {

using namespace otlp;

namespace {

// Fields of Span, number << 3 | wire type.
constexpr char kTraceId = 1 << 3 | 2, kSpanId = 2 << 3 | 2, kParentSpanId = 4 << 3 | 2;
constexpr char kStart = 7 << 3 | 1, kEnd = 8 << 3 | 1;
constexpr uint32_t kAttributes = 9;

std::string_view text_in(const RecorderDelta& delta, uint32_t one_based) {
  return one_based > 0 && one_based <= delta.texts.size()
             ? std::string_view(delta.texts[one_based - 1])
             : std::string_view();
}

std::string span_name(const SpanRecord& record, std::string_view route) {
  if (record.transport != Transport::http)
    return record.transport == Transport::tls ? "TLS connection" : "TCP connection";
  // Semantic conventions: an unknown method is named HTTP here, since _OTHER is a value for
  // machines.
  std::string name(record.key.method == Method::other ? "HTTP" : method_name(record.key.method));
  if (!route.empty()) name.append(" ").append(route);
  return name;
}

/// What a connection that was passed on as it is has in common with others (network and TLS
/// conventions).
void add_connection_attributes(pbf_writer& span, const SpanRecord& record) {
  add_attribute(span, kAttributes, "network.transport", std::string_view("tcp"));
  if (record.transport == Transport::tls)
    add_attribute(span, kAttributes, "network.protocol.name", std::string_view("tls"));
  if (record.key.error_type != ErrorType::none)
    add_attribute(span, kAttributes, "error.type", error_type_name(record.key.error_type));
}

template <class Id>
char* put_id(char* at, char field, const Id& id) noexcept {
  *at++ = field;
  *at++ = static_cast<char>(id.bytes.size());
  std::memcpy(at, id.bytes.data(), id.bytes.size());
  return at + id.bytes.size();
}

char* put_fixed64(char* at, char field, uint64_t value) noexcept {
  *at++ = field;
  for (int shift = 0; shift < 64; shift += 8) *at++ = static_cast<char>(value >> shift);
  return at;
}

size_t slot_of(const SpanRecord& record) noexcept {
  const SeriesKey& key = record.key;
  const uint64_t bits = uint64_t{key.route} ^ uint64_t { key.upstream } << 32 ^
                        uint64_t { key.status } << 16 ^
                        uint64_t { static_cast<uint8_t>(key.method) } << 48 ^
                        uint64_t { static_cast<uint8_t>(key.error_type) } << 56;
  return static_cast<size_t>(bits * 0x9E3779B97F4A7C15ULL >> 56);
}

}  // namespace

SpanEncoder::SpanEncoder(const ResourceIdentity& identity)
    : resource_(resource_fields(identity)), scope_(scope_fields()) {}

void SpanEncoder::begin_delta() {
  for (Common& common : common_) common.filled = false;
}

const std::string& SpanEncoder::common_fields(const RecorderDelta& delta,
                                              const SpanRecord& record) {
  Common& common = common_[slot_of(record)];
  if (common.filled && common.key == record.key && common.transport == record.transport)
    return common.fields;
  common.filled = true;
  common.key = record.key;
  common.transport = record.transport;
  common.fields.clear();
  const auto route = delta.name(record.key.route);
  pbf_writer span(common.fields);
  add_text(span, 5, span_name(record, route));
  span.add_enum(6, record.key.direction == Direction::inbound ? 2 : 3);
  if (record.transport == Transport::http)
    add_request_attributes(span, kAttributes, record.key, route, delta.name(record.key.upstream));
  else
    add_connection_attributes(span, record);
  if (record.key.error_type != ErrorType::none || is_error_status(record.key)) {
    pbf_writer status(span, 15);
    status.add_enum(3, 2);
  }
  return common.fields;
}

void SpanEncoder::append_attribute(std::string_view key, std::string_view text) {
  if (text.empty()) return;
  attribute_.clear();
  append_key_value(attribute_, key, text);
  pbf_writer(span_).add_message(kAttributes, attribute_);
}

void SpanEncoder::append_attribute(std::string_view key, int64_t number) {
  attribute_.clear();
  append_key_value(attribute_, key, number);
  pbf_writer(span_).add_message(kAttributes, attribute_);
}

void SpanEncoder::append_span(const RecorderDelta& delta, const SpanRecord& record) {
  char fixed[3 * 2 + 16 + 8 + 8 + 2 * 9];
  char* end = put_id(fixed, kTraceId, record.trace_id);
  end = put_id(end, kSpanId, record.span_id);
  if (!record.parent_span_id.is_zero()) end = put_id(end, kParentSpanId, record.parent_span_id);
  end = put_fixed64(end, kStart, record.start_unix_nanos);
  end = put_fixed64(end, kEnd, record.start_unix_nanos + record.duration_nanos);
  span_.assign(fixed, static_cast<size_t>(end - fixed));
  span_ += common_fields(delta, record);
  const auto sent = static_cast<int64_t>(record.response_bytes);
  const auto received = static_cast<int64_t>(record.request_bytes);
  if (record.transport == Transport::http) {
    append_attribute("url.path", text_in(delta, record.target));
    if (received > 0) append_attribute("http.request.body.size", received);
    if (sent > 0) append_attribute("http.response.body.size", sent);
  } else {
    append_attribute("tls.client.server_name", text_in(delta, record.target));
    append_attribute("hms.bytes.received", received);
    append_attribute("hms.bytes.sent", sent);
  }
  append_attribute("network.peer.address", delta.name(record.peer));
  append_attribute("hms.peer.identity", delta.name(record.peer_identity));
  append_attribute("hms.x_trace", text_in(delta, record.trace_text));
  pbf_writer(spans_).add_message(2, span_);
}

void SpanEncoder::add(const RecorderDelta& delta, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) append_span(delta, delta.spans[i]);
}

void SpanEncoder::take(std::string& request) {
  std::string head;  // of ScopeSpans within ResourceSpans
  pbf_writer(head).add_message(1, resource_);
  std::string scope;
  pbf_writer(scope).add_message(1, scope_);
  protozero::add_varint_to_buffer(&head, 2 << 3 | 2);
  protozero::add_varint_to_buffer(&head, scope.size() + spans_.size());
  request.clear();
  pbf_writer(request).add_bytes_vectored(1, head, scope, spans_);
  spans_.clear();
}

}  // namespace hms::telemetry
