// otlp_protobuf.cc: what all OTLP records have in protobuf: attributes, resources, scopes.
#include "telemetry/otlp_protobuf.h"

namespace hms::telemetry::otlp {
namespace {

/// Arrays, maps and bytes as JSON. False when the text has grown past its bound and must be given
/// up.
bool append_any_json(std::string& out, std::string_view bytes, int depth);

bool append_array_json(std::string& out, std::string_view bytes, int depth) {
  out += '[';
  bool first = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    if (!first) out += ',';
    first = false;
    if (!append_any_json(out, view_of(reader), depth + 1)) return false;
  }
  out += ']';
  return true;
}

bool append_map_json(std::string& out, std::string_view bytes, int depth) {
  out += '{';
  bool first = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    std::string_view key, value;
    pbf_reader pair = reader_of(view_of(reader));
    while (pair.next()) {
      if (pair.tag_and_type() == message_field(1)) {
        key = view_of(pair);
      } else if (pair.tag_and_type() == message_field(2)) {
        value = view_of(pair);
      } else {
        pair.skip();
      }
    }
    if (!first) out += ',';
    first = false;
    append_json_text(out, is_valid_utf8(key) ? std::string(key) : repaired_utf8(key));
    out += ':';
    if (!append_any_json(out, value, depth + 1)) return false;
  }
  out += '}';
  return true;
}

bool append_any_json(std::string& out, std::string_view bytes, int depth) {
  if (out.size() > kMaxTextBytes || depth > kMaxNesting) return false;
  const size_t begin = out.size();
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {  // a oneof: the last one given counts
    out.resize(begin);
    switch (reader.tag_and_type()) {
      case message_field(1): {
        const auto text = view_of(reader);
        if (text.size() > kMaxTextBytes) return false;
        append_json_text(out, is_valid_utf8(text) ? std::string(text) : repaired_utf8(text));
        break;
      }
      case varint_field(2):
        out += reader.get_bool() ? "true" : "false";
        break;
      case varint_field(3):
        out += std::to_string(reader.get_int64());
        break;
      case fixed64_field(4):
        append_json_number(out, reader.get_double());
        break;
      case message_field(5):
        if (!append_array_json(out, view_of(reader), depth)) return false;
        break;
      case message_field(6):
        if (!append_map_json(out, view_of(reader), depth)) return false;
        break;
      case message_field(7): {
        const auto text = view_of(reader);
        if (text.size() > kMaxTextBytes / 2) return false;
        out += '"';
        append_base64(out, text);
        out += '"';
        break;
      }
      default:
        reader.skip();
    }
  }
  if (out.size() == begin) out += "null";
  return out.size() <= kMaxTextBytes;
}

}  // namespace

AttributeValue read_any(BatchStorage& batch, std::string_view bytes) {
  AttributeValue value;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        value.kind = AttributeValue::Kind::text;
        value.text = clean_text(batch, view_of(reader));
        break;
      case varint_field(2):
        value.kind = AttributeValue::Kind::boolean;
        value.boolean = reader.get_bool();
        break;
      case varint_field(3):
        value.kind = AttributeValue::Kind::integer;
        value.integer = reader.get_int64();
        break;
      case fixed64_field(4):
        value.kind = AttributeValue::Kind::real;
        value.real = reader.get_double();
        break;
      case message_field(5):
      case message_field(6):
      case message_field(7): {
        reader.skip();
        std::string json;
        if (!append_any_json(json, bytes, 1)) {
          json = "\"(left out: larger than 65536 bytes or deeper than 16 levels)\"";
          ++batch.truncated;
        }
        value.kind = AttributeValue::Kind::json;
        value.text = batch.keep(std::move(json));
        return value;  // append_any_json has read the whole value
      }
      default:
        reader.skip();
    }
  }
  return value;
}

void read_attribute(BatchStorage& batch, uint32_t begin, std::string_view bytes) {
  Attribute attribute;
  std::string_view value;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        attribute.key = view_of(reader);
        break;
      case message_field(2):
        value = view_of(reader);
        break;
      default:
        reader.skip();
    }
  }
  if (attribute.key.empty()) return;
  if (batch.attributes.size() - begin < kMaxAttributesPerRecord) {
    attribute.key = clean_text(batch, attribute.key);
    attribute.value = read_any(batch, value);
  }
  add_attribute(batch, begin, attribute);
}

void read_resource(BatchStorage& batch, uint32_t resource, std::string_view bytes) {
  const uint32_t begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() == message_field(1)) {
      read_attribute(batch, begin, view_of(reader));
    } else {
      reader.skip();
    }
  }
  set_resource(batch, resource, begin);
}

std::string_view read_scope_name(BatchStorage& batch, std::string_view bytes) {
  std::string_view name;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() == message_field(1)) {
      name = clean_text(batch, view_of(reader));
    } else {
      reader.skip();
    }
  }
  return name;
}

}  // namespace hms::telemetry::otlp
