// otlp_protobuf.h: what the readers of the three signals share; private to
// telemetry/otlp_protobuf*.cc.
//
// Texts are views into the body. Field numbers: opentelemetry-proto 1.x (trace/v1, metrics/v1,
// logs/v1, common/v1, resource/v1). A known field with another wire type counts as unknown and is
// skipped, as protobuf parsers do; repeated scalars are taken packed and unpacked. A body cut off
// inside a record is refused whole: its sender still has it.
#pragma once

#include <cstring>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <string_view>

#include "telemetry/otlp_read.h"
#include "telemetry/text.h"

namespace hms::telemetry::otlp {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr uint32_t message_field(uint32_t tag) {
  return tag_and_type(tag, pbf_wire_type::length_delimited);
}
constexpr uint32_t varint_field(uint32_t tag) { return tag_and_type(tag, pbf_wire_type::varint); }
constexpr uint32_t fixed64_field(uint32_t tag) { return tag_and_type(tag, pbf_wire_type::fixed64); }

inline std::string_view view_of(pbf_reader& reader) {
  const auto view = reader.get_view();
  return {view.data(), view.size()};
}
inline pbf_reader reader_of(std::string_view bytes) noexcept {
  return {bytes.data(), bytes.size()};
}

/// Where reading has got to, for the error message.
struct Place {
  const char* body = nullptr;
  const char* at = nullptr;
  void mark(const pbf_reader& reader) noexcept { at = reader.data().data(); }
};

/// An AnyValue; arrays, maps and bytes become JSON.
[[nodiscard]] AttributeValue read_any(BatchStorage& batch, std::string_view bytes);
/// A KeyValue, for the record whose attributes begin at `begin`.
void read_attribute(BatchStorage& batch, uint32_t begin, std::string_view bytes);
void read_resource(BatchStorage& batch, uint32_t resource, std::string_view bytes);
[[nodiscard]] std::string_view read_scope_name(BatchStorage& batch, std::string_view bytes);

template <class Id>
bool take_id(std::string_view bytes, Id& id) noexcept {
  if (bytes.size() != id.bytes.size()) return false;
  std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return true;
}

/// The frame all three signals share: requests hold resources (1), which hold a resource (1) and
/// scopes (2), which hold a scope (1) and records (2). Fields may come in any order, so each level
/// looks for its describing field first.
template <class Batch, class ReadRecord>
void read_frame(Batch& batch, Place& place, ReadRecord read_record) {
  pbf_reader request = reader_of(*batch.body);
  while (request.next()) {
    place.mark(request);
    if (request.tag_and_type() != message_field(1)) {
      request.skip();
      continue;
    }
    const std::string_view group = view_of(request);
    const uint32_t resource = add_resource(batch);
    for (pbf_reader reader = reader_of(group); reader.next();) {
      place.mark(reader);
      if (reader.tag_and_type() == message_field(1)) {
        read_resource(batch, resource, view_of(reader));
      } else {
        reader.skip();
      }
    }
    for (pbf_reader reader = reader_of(group); reader.next();) {
      place.mark(reader);
      if (reader.tag_and_type() != message_field(2)) {
        reader.skip();
        continue;
      }
      const std::string_view scope_group = view_of(reader);
      std::string_view scope;
      for (pbf_reader in_scope = reader_of(scope_group); in_scope.next();) {
        place.mark(in_scope);
        if (in_scope.tag_and_type() == message_field(1)) {
          scope = read_scope_name(batch, view_of(in_scope));
        } else {
          in_scope.skip();
        }
      }
      for (pbf_reader in_scope = reader_of(scope_group); in_scope.next();) {
        place.mark(in_scope);
        if (in_scope.tag_and_type() == message_field(2)) {
          read_record(resource, scope, view_of(in_scope));
        } else {
          in_scope.skip();
        }
      }
    }
  }
}

/// Runs a reader and turns what it throws into an Error with its place.
template <class Batch, class ReadRecord>
net::Result<void> guarded(Batch& batch, ReadRecord read_record) {
  Place place{batch.body->data(), batch.body->data()};
  try {
    read_frame(batch, place, read_record);
  } catch (const LimitCrossed& limit) {
    return net::Error{net::Code::too_large, net::Side::downstream, false, limit.sentence};
  } catch (const protozero::exception& fault) {
    return net::Error{net::Code::bad_message, net::Side::downstream, false,
                      "protobuf: " + std::string(fault.what()) + " in the field at byte " +
                          std::to_string(place.at - place.body) + " of " +
                          std::to_string(batch.body->size())};
  }
  return {};
}

}  // namespace hms::telemetry::otlp
