// otlp_encode_parts.h: what the writers of spans and metrics share; private to
// telemetry/otlp_encode*.cc.
//
// Attributes are written with their lengths known beforehand: protozero's nested writers leave room
// for a length and move what was written when they close, twice for each attribute.
#pragma once

#include <cstdint>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>

#include "telemetry/recorder.h"

namespace hms::telemetry::otlp {

using protozero::pbf_writer;

/// Appends the fields of a KeyValue. Text that is not UTF-8 is repaired.
void append_key_value(std::string& out, std::string_view key, std::string_view text);
void append_key_value(std::string& out, std::string_view key, int64_t number);

template <class Value>
void add_attribute(pbf_writer& owner, uint32_t tag, std::string_view key, const Value& value) {
  std::string pair;
  append_key_value(pair, key, value);
  owner.add_message(tag, pair);
}

void add_text(pbf_writer& writer, uint32_t tag, std::string_view text);
/// The fields of a Resource and of an InstrumentationScope.
[[nodiscard]] std::string resource_fields(const ResourceIdentity& identity);
[[nodiscard]] std::string scope_fields();

[[nodiscard]] inline bool is_error_status(const SeriesKey& key) noexcept {
  return key.status >= (key.direction == Direction::outbound ? 400 : 500);
}

/// The attributes that metrics and spans share.
void add_request_attributes(pbf_writer& owner, uint32_t tag, const SeriesKey& key,
                            std::string_view route, std::string_view upstream);

template <class Id>
void add_id(pbf_writer& writer, uint32_t tag, const Id& id) {
  writer.add_bytes(tag, reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

}  // namespace hms::telemetry::otlp
