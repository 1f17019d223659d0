// series_labels.cc: see series_labels.h.
#include "collector/store/series_labels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "telemetry/otlp_decode.h"
#include "telemetry/prom_text.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxLabels = 64;
constexpr size_t kMaxValueBytes = 4096;

std::string text_of(const telemetry::AttributeValue& value) {
  using Kind = telemetry::AttributeValue::Kind;
  switch (value.kind) {
    case Kind::empty:
      return {};
    case Kind::text:
    case Kind::json:
      return std::string(value.text.substr(0, kMaxValueBytes));
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real: {
      std::array<char, 32> digits;
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value.real).ptr;
      return std::string(digits.data(), end);
    }
  }
  return {};
}

void put_label(LabelSet& labels, std::string name, std::string value) {
  if (value.empty()) return;  // Prometheus: an empty label is no label
  for (auto& [known, text] : labels) {
    if (known != name) continue;
    text += ";" + value;
    return;
  }
  if (labels.size() < kMaxLabels) labels.emplace_back(std::move(name), std::move(value));
}

void put_resource(LabelSet& labels, const char* name, std::string_view value) {
  const bool given = std::any_of(labels.begin(), labels.end(),
                                 [name](const auto& label) { return label.first == name; });
  if (!given) put_label(labels, name, std::string(value.substr(0, kMaxValueBytes)));
}

// Keys stay in this process: the machine's own byte order will do.
void append_raw(std::string& out, uint64_t number) {
  std::array<char, sizeof number> bytes;
  std::memcpy(bytes.data(), &number, sizeof number);
  out.append(bytes.data(), bytes.size());
}

void append_raw(std::string& out, std::string_view text) {
  append_raw(out, static_cast<uint64_t>(text.size()));
  out.append(text);
}

bool is_counter(const telemetry::MetricPointView& point) {
  return point.kind == telemetry::PointKind::counter && point.monotonic;
}

}  // namespace

LabelSet series_labels(const telemetry::MetricBatch& batch,
                       const telemetry::MetricPointView& point) {
  LabelSet labels;
  labels.emplace_back("__name__",
                      telemetry::prometheus_metric_name(point.name.substr(0, kMaxValueBytes),
                                                        point.unit, is_counter(point)));
  telemetry::BatchStorage read_now;
  const bool raw = !point.raw_attributes.empty();
  const telemetry::AttributeRange range =
      raw ? telemetry::read_raw_attributes(read_now, point.raw_attributes) : point.attributes;
  const std::vector<telemetry::Attribute>& attributes =
      raw ? read_now.attributes : batch.attributes;
  for (uint32_t i = range.begin; i < range.end; ++i) {
    const telemetry::Attribute& attribute = attributes[i];
    put_label(labels, telemetry::prometheus_label_name(attribute.key.substr(0, kMaxValueBytes)),
              text_of(attribute.value));
  }
  const telemetry::ResourceView& resource = batch.resources[point.resource];
  put_resource(labels, "service_name", resource.service_name);
  put_resource(labels, "service_instance_id", resource.service_instance);
  put_resource(labels, "service_version", resource.service_version);
  std::sort(labels.begin(), labels.end());
  return labels;
}

void raw_metric_key(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                    std::string& out) {
  out.clear();
  out.push_back(static_cast<char>(is_counter(point) ? 1 : 0));
  append_raw(out, point.name);
  append_raw(out, point.unit);
  const telemetry::ResourceView& resource = batch.resources[point.resource];
  append_raw(out, resource.service_name);
  append_raw(out, resource.service_instance);
  append_raw(out, resource.service_version);
}

void raw_attributes_key(const telemetry::MetricBatch& batch,
                        const telemetry::MetricPointView& point, std::string& out) {
  out.clear();
  for (uint32_t i = point.attributes.begin; i < point.attributes.end; ++i) {
    const telemetry::Attribute& attribute = batch.attributes[i];
    append_raw(out, attribute.key);
    out.push_back(static_cast<char>(attribute.value.kind));
    using Kind = telemetry::AttributeValue::Kind;
    switch (attribute.value.kind) {
      case Kind::empty:
        break;
      case Kind::text:
      case Kind::json:
        append_raw(out, attribute.value.text);
        break;
      case Kind::boolean:
        out.push_back(attribute.value.boolean ? 1 : 0);
        break;
      case Kind::integer:
        append_raw(out, static_cast<uint64_t>(attribute.value.integer));
        break;
      case Kind::real:
        append_raw(out, std::bit_cast<uint64_t>(attribute.value.real));
        break;
    }
  }
}

}  // namespace hms::collector
