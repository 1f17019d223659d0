// otlp_bodies.h: OTLP requests in protobuf, written field by field, for the decoder's tests.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/otlp_decode.h"

namespace hms::telemetry {

using protozero::pbf_writer;

inline const std::string kTraceBytes(16, '\xab'), kSpanBytes(8, '\x01');
using Fill = std::function<void(pbf_writer&)>;

/// Request > group (1) > resource (1) with service.name > scope group (2) > scope (1) > records
/// (2).
inline std::string request_of(const std::vector<Fill>& records) {
  std::string out;
  pbf_writer request(out);
  pbf_writer group(request, 1);
  {
    pbf_writer scope_group(group, 2);
    for (const Fill& fill : records) {
      pbf_writer record(scope_group, 2);
      fill(record);
    }
    pbf_writer scope(scope_group, 1);  // after the records: any order is allowed
    scope.add_string(1, "my-library");
  }
  {
    pbf_writer resource(group, 1);  // after the scopes as well
    pbf_writer attribute(resource, 1);
    attribute.add_string(1, "service.name");
    pbf_writer value(attribute, 2);
    value.add_string(1, "claims");
  }
  group.commit();
  return out;
}

inline void add_text(pbf_writer& record, uint32_t tag, const std::string& key,
                     const std::string& text) {
  pbf_writer attribute(record, tag);
  attribute.add_string(1, key);
  pbf_writer value(attribute, 2);
  value.add_string(1, text);
}

inline void add_value(pbf_writer& record, uint32_t tag, const std::string& key, const Fill& fill) {
  pbf_writer attribute(record, tag);
  attribute.add_string(1, key);
  pbf_writer value(attribute, 2);
  fill(value);
}

inline void good_span(pbf_writer& span) {
  span.add_bytes(1, kTraceBytes);
  span.add_bytes(2, kSpanBytes);
  span.add_string(5, "op");
}

inline Decoded<TraceBatch> traces(const std::vector<Fill>& spans) {
  auto decoded = decode_traces(request_of(spans), OtlpFormat::protobuf);
  REQUIRE(decoded);
  return std::move(decoded).value();
}

/// A metric whose data message has this tag and these points.
inline Fill metric_of(const std::string& name, uint32_t data_tag, const std::vector<Fill>& points,
                      int temporality = 2, bool monotonic = true) {
  return [=](pbf_writer& metric) {
    {
      pbf_writer data(metric, data_tag);
      for (const Fill& fill : points) {
        pbf_writer point(data, 1);
        fill(point);
      }
      if (data_tag != 5 && data_tag != 11) data.add_enum(2, temporality);
      if (data_tag == 7) data.add_bool(3, monotonic);
    }
    metric.add_string(1, name);  // after the data: any order is allowed
    metric.add_string(3, "s");
  };
}

inline Decoded<MetricBatch> metrics(const std::vector<Fill>& all) {
  auto decoded = decode_metrics(request_of(all), OtlpFormat::protobuf);
  REQUIRE(decoded);
  return std::move(decoded).value();
}

inline std::string text(const BatchStorage& batch, AttributeRange range, std::string_view key) {
  const Attribute* attribute = find_attribute(batch, range, key);
  return attribute == nullptr ? "(absent)" : std::string(attribute->value.text);
}

}  // namespace hms::telemetry
