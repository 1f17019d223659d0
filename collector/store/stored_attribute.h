// stored_attribute.h: an attribute that owns its bytes, and what attributes look like as text.
// Thread: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/model.h"

namespace hms::collector {

struct StoredAttribute {
  std::string key;
  telemetry::AttributeValue::Kind kind = telemetry::AttributeValue::Kind::text;
  std::string text;  // Kind::text and json
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
};

/// Views of a range; decoders see to it that it lies inside the batch.
[[nodiscard]] inline std::span<const telemetry::Attribute> attributes_in(
    const telemetry::BatchStorage& batch, telemetry::AttributeRange range) {
  return std::span(batch.attributes).subspan(range.begin, range.end - range.begin);
}
[[nodiscard]] std::vector<StoredAttribute> stored_attributes(const telemetry::BatchStorage& batch,
                                                             telemetry::AttributeRange range);
/// As questions name a value: texts as they are, true, 42, 0.5.
[[nodiscard]] std::string attribute_text(const telemetry::AttributeValue& value);
[[nodiscard]] std::string attribute_text(const StoredAttribute& attribute);
/// Whether one of the attributes has this key and this value as text.
[[nodiscard]] bool has_attribute(const telemetry::BatchStorage& batch,
                                 telemetry::AttributeRange range, std::string_view key,
                                 std::string_view text);

/// Copies what spans and log lines have in common: ids, the sender, attributes.
template <class View, class Stored>
void store_common(const telemetry::BatchStorage& batch, const View& view, Stored& out) {
  const telemetry::ResourceView& resource = batch.resources[view.resource];
  out.service = resource.service_name;
  out.trace_id = view.trace_id;
  out.span_id = view.span_id;
  out.trace_text = view.trace_text;
  out.attributes = stored_attributes(batch, view.attributes);
  out.resource_attributes = stored_attributes(batch, resource.attributes);
}

}  // namespace hms::collector
