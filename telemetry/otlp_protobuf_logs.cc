// otlp_protobuf_logs.cc: log records from protobuf.
#include "telemetry/otlp_protobuf.h"

namespace hms::telemetry::otlp {
namespace {

void read_log(LogBatch& batch, Tally& tally, uint32_t resource, std::string_view bytes) {
  tally.next();
  LogView log;
  log.resource = resource;
  log.attributes.begin = attribute_mark(batch);
  uint64_t observed = 0;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(1):
        log.time_unix_nanos = reader.get_fixed64();
        break;
      case varint_field(2): {
        const int32_t number = reader.get_int32();
        log.severity_number = static_cast<uint8_t>(number >= 0 && number <= 24 ? number : 0);
        break;
      }
      case message_field(3):
        log.level = clean_text(batch, view_of(reader));
        break;
      case message_field(5): {
        const AttributeValue body = read_any(batch, view_of(reader));
        log.message = message_of(batch, body);
        break;
      }
      case message_field(6):
        read_attribute(batch, log.attributes.begin, view_of(reader));
        break;
      case message_field(9):
        if (!take_id(view_of(reader), log.trace_id)) log.trace_id = {};
        break;
      case message_field(10):
        if (!take_id(view_of(reader), log.span_id)) log.span_id = {};
        break;
      case fixed64_field(11):
        observed = reader.get_fixed64();
        break;
      default:
        reader.skip();
    }
  }
  log.attributes.end = attribute_mark(batch);
  add_log(batch, log, observed);
}

}  // namespace

net::Result<void> read_protobuf(LogBatch& batch, Tally& tally) {
  return guarded(batch, [&](uint32_t resource, std::string_view, std::string_view bytes) {
    read_log(batch, tally, resource, bytes);
  });
}

}  // namespace hms::telemetry::otlp
