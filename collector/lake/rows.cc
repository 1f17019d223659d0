#include "collector/lake/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "collector/lake/attributes_json.h"
#include "collector/lake/crc32.h"
#include "collector/store/keys.h"
#include "collector/store/series_regex.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

constexpr bool kUnique = false;  // a dictionary would not pay

std::vector<ColumnSpec> series_columns() {
  return {{"service", ColumnType::text},
          {"route", ColumnType::text},
          {"metric", ColumnType::text},
          {"labels", ColumnType::json},
          {"time", ColumnType::timestamp_millis}};
}

TableSpec spans_table() {
  return {"spans",
          {{"service", ColumnType::text},
           {"route", ColumnType::text},
           {"start_time", ColumnType::timestamp_nanos},
           {"duration_nanos", ColumnType::int64},
           {"trace_id", ColumnType::text, kUnique},
           {"span_id", ColumnType::text, kUnique},
           {"parent_span_id", ColumnType::text, kUnique},
           {"name", ColumnType::text},
           {"kind", ColumnType::text},
           {"status", ColumnType::text},
           {"status_message", ColumnType::text},
           {"http_status_code", ColumnType::int32},
           {"instance", ColumnType::text},
           {"scope", ColumnType::text},
           {"x_trace", ColumnType::text},
           {"attributes", ColumnType::json},
           {"resource_attributes", ColumnType::json},
           {"events", ColumnType::json},
           {"links", ColumnType::json}},
          3,
          2,
          true};
}

TableSpec logs_table() {
  return {"logs",
          {{"service", ColumnType::text},
           {"route", ColumnType::text},
           {"time", ColumnType::timestamp_nanos},
           {"severity_number", ColumnType::int32},
           {"level", ColumnType::text},
           {"severity", ColumnType::text},
           {"message", ColumnType::text},
           {"trace_id", ColumnType::text},
           {"span_id", ColumnType::text},
           {"x_trace", ColumnType::text},
           {"attributes", ColumnType::json}},
          3,
          2,
          true};
}

TableSpec metrics_table() {
  TableSpec spec{"metrics", series_columns(), 5, 4, false};
  spec.columns.push_back({"value", ColumnType::real});
  return spec;
}

TableSpec histograms_table() {
  TableSpec spec{"histograms", series_columns(), 5, 4, false};
  spec.columns.push_back({"count", ColumnType::int64});
  spec.columns.push_back({"sum", ColumnType::real});
  spec.columns.push_back({"zero_count", ColumnType::int64});
  spec.columns.push_back({"scale", ColumnType::int32});
  spec.columns.push_back({"positive", ColumnType::json});
  spec.columns.push_back({"negative", ColumnType::json});
  return spec;
}

TableSpec map_table(std::string_view name) {
  return {name,
          {{"time", ColumnType::timestamp_millis},
           {"from", ColumnType::text},
           {"to", ColumnType::text},
           {"requests", ColumnType::int64},
           {"errors", ColumnType::int64},
           {"duration_sum", ColumnType::real},
           {"zero_count", ColumnType::int64},
           {"buckets", ColumnType::json},
           {"requests_by_second", ColumnType::json},
           {"errors_by_second", ColumnType::json}},
          3,
          0,
          false};
}

/// Reads cells that RowWriter wrote.
class RowReader {
 public:
  explicit RowReader(std::string_view in) : in_(in) {}
  std::string_view text() {
    uint32_t length = 0;
    take(length);
    const std::string_view value = in_.substr(0, length);
    in_.remove_prefix(value.size());
    return value;
  }
  int64_t integer() {
    int64_t value = 0;
    take(value);
    return value;
  }
  double real() {
    double value = 0;
    take(value);
    return value;
  }

 private:
  template <class T>
  void take(T& value) {
    HMS_ENSURE(in_.size() >= sizeof value);  // rows come from RowWriter or a checked sorting file
    std::memcpy(&value, in_.data(), sizeof value);
    in_.remove_prefix(sizeof value);
  }
  std::string_view in_;
};

constexpr std::array<std::string_view, 6> kKinds{"unspecified", "internal", "server",
                                                 "client",      "producer", "consumer"};
constexpr std::array<std::string_view, 3> kStatuses{"unset", "ok", "error"};

template <size_t Size>
uint8_t number_of(const std::array<std::string_view, Size>& names, std::string_view name) {
  const auto it = std::find(names.begin(), names.end(), name);
  return it == names.end() ? uint8_t{0} : static_cast<uint8_t>(it - names.begin());
}

template <class Id>
void id_text(RowWriter& row, const Id& id) {
  row.text(id.is_zero() ? std::string() : telemetry::to_hex(id));
}

const StoredAttribute* find(const std::vector<StoredAttribute>& attributes, std::string_view key) {
  const auto it = std::find_if(attributes.begin(), attributes.end(),
                               [key](const StoredAttribute& a) { return a.key == key; });
  return it == attributes.end() ? nullptr : &*it;
}

std::string_view route_of(const std::vector<StoredAttribute>& attributes) {
  const StoredAttribute* route = find(attributes, "http.route");
  return route != nullptr && route->kind == telemetry::AttributeValue::Kind::text
             ? std::string_view(route->text)
             : std::string_view();
}

int64_t status_code_of(const std::vector<StoredAttribute>& attributes) {
  const StoredAttribute* code = find(attributes, "http.response.status_code");
  const bool whole = code != nullptr && code->kind == telemetry::AttributeValue::Kind::integer &&
                     code->integer >= INT32_MIN && code->integer <= INT32_MAX;
  return whole ? code->integer : 0;
}

/// A text may hold a NUL, which would end it early in the order; that only matters for where such
/// an odd row lies.
void begin_key(std::string& key, std::string_view service, std::string_view route, uint64_t time) {
  key.clear();
  key += service;
  key.push_back('\0');
  key += route;
  key.push_back('\0');
  append_be64(key, time);
}

template <class Id>
void append_id(std::string& key, const Id& id) {
  key.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

std::string buckets_json(const std::vector<telemetry::Histogram::Bucket>& buckets) {
  std::string out = "[";
  for (const auto& bucket : buckets) {
    if (out.size() > 1) out += ',';
    out += '[' + std::to_string(bucket.index) + ',' + std::to_string(bucket.count) + ']';
  }
  return out + "]";
}

std::vector<telemetry::Histogram::Bucket> buckets_of(std::string_view text) {
  std::vector<telemetry::Histogram::Bucket> out;
  if (text.size() <= 2) return out;
  for (const auto& pair : nlohmann::json::parse(text, nullptr, false)) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer() ||
        !pair[1].is_number_integer())
      continue;
    const auto index = pair[0].get<int64_t>();
    if (index < INT32_MIN || index > INT32_MAX) continue;
    out.push_back({static_cast<int32_t>(index), pair[1].get<uint64_t>()});
  }
  return out;
}

using Seconds = std::array<uint32_t, kSecondsPerSlot>;

std::string seconds_json(const Seconds& counts) {
  std::string out = "[";
  for (const uint32_t count : counts) {
    if (out.size() > 1) out += ',';
    out += std::to_string(count);
  }
  return out + "]";
}

Seconds seconds_of(std::string_view text) {
  Seconds out{};
  const auto counts = nlohmann::json::parse(text, nullptr, false);
  if (!counts.is_array() || counts.size() != out.size()) return out;
  for (size_t i = 0; i < out.size(); ++i) {
    if (counts[i].is_number_unsigned()) out[i] = counts[i].get<uint32_t>();
  }
  return out;
}

telemetry::TraceId trace_of(std::string_view hex) {
  return telemetry::parse_trace_id(hex).value_or(telemetry::TraceId{});
}
telemetry::SpanId span_id_of(std::string_view hex) {
  return telemetry::parse_span_id(hex).value_or(telemetry::SpanId{});
}

void series_row(const LabelSet& labels, std::string_view json, int64_t time, RowWriter& row) {
  row.clear();
  row.text(label_value(labels, "service_name"));
  row.text(label_value(labels, "http_route"));
  row.text(label_value(labels, "__name__"));
  row.text(json);
  row.integer(time);
}

}  // namespace

const TableSpec& table_spec(LakeTable table) {
  static const std::array<TableSpec, kLakeTables.size()> kSpecs{
      spans_table(),      logs_table(),       metrics_table(),
      histograms_table(), map_table("edges"), map_table("edge-hours")};
  return kSpecs[static_cast<size_t>(table)];
}

// ---------------------------------------------------------------- rows

void RowWriter::text(std::string_view value) {
  if (!telemetry::is_valid_utf8(value)) return text(telemetry::repaired_utf8(value));
  const auto length = static_cast<uint32_t>(value.size());
  bytes_.append(reinterpret_cast<const char*>(&length), sizeof length);
  bytes_ += value;
}
void RowWriter::integer(int64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void RowWriter::real(double value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void TableTotals::add(const TableSpec& spec, std::string_view row) {
  columns.resize(spec.columns.size());
  ++rows;
  checksum += crc32_of(row);
  RowReader in(row);
  for (size_t i = 0; i < spec.columns.size(); ++i) {
    if (is_text(spec.columns[i].type)) {
      static_cast<void>(in.text());
    } else if (spec.columns[i].type == ColumnType::real) {
      static_cast<void>(in.real());
    } else {
      const int64_t value = in.integer();
      columns[i].sum += static_cast<uint64_t>(value);
      columns[i].min = std::min(columns[i].min, value);
      columns[i].max = std::max(columns[i].max, value);
    }
  }
}

std::string_view cell_text(const TableSpec& spec, std::string_view row, size_t column) {
  RowReader in(row);
  for (size_t i = 0; i < column; ++i) {
    if (is_text(spec.columns[i].type))
      static_cast<void>(in.text());
    else
      static_cast<void>(in.integer());  // reals take the same room
  }
  return in.text();
}

void put_row(const TableSpec& spec, std::string_view row, ParquetWriter& out) {
  RowReader in(row);
  for (size_t i = 0; i < spec.columns.size(); ++i) {
    if (is_text(spec.columns[i].type))
      out.text(i, in.text());
    else if (spec.columns[i].type == ColumnType::real)
      out.real(i, in.real());
    else
      out.integer(i, in.integer());
  }
}

void row_of_columns(const TableSpec& spec, const std::vector<ColumnValues>& columns, size_t index,
                    RowWriter& out) {
  out.clear();
  for (size_t i = 0; i < spec.columns.size(); ++i) {
    if (is_text(spec.columns[i].type))
      out.text(columns[i].texts[index]);
    else if (spec.columns[i].type == ColumnType::real)
      out.real(columns[i].reals[index]);
    else
      out.integer(columns[i].integers[index]);
  }
}

// ---------------------------------------------------------------- from the hot store

void span_row(const StoredSpan& span, RowWriter& row, std::string& key) {
  const std::string_view route = route_of(span.attributes);
  row.clear();
  row.text(span.service);
  row.text(route);
  row.integer(static_cast<int64_t>(span.start_unix_nanos));
  row.integer(static_cast<int64_t>(span.end_unix_nanos - span.start_unix_nanos));
  row.text(telemetry::to_hex(span.trace_id));
  row.text(telemetry::to_hex(span.span_id));
  id_text(row, span.parent_span_id);
  row.text(span.name);
  row.text(kKinds[static_cast<size_t>(span.kind)]);
  row.text(kStatuses[static_cast<size_t>(span.status)]);
  row.text(span.status_message);
  row.integer(status_code_of(span.attributes));
  row.text(span.instance);
  row.text(span.scope);
  row.text(span.trace_text);
  row.text(attributes_json(span.attributes));
  row.text(attributes_json(span.resource_attributes));
  row.text(events_json(span.events));
  row.text(links_json(span.links));
  begin_key(key, span.service, route, span.start_unix_nanos);
  append_id(key, span.trace_id);
  append_id(key, span.span_id);
}

/// A line's own attribute of that name would be mistaken for its resource, and gives way to it.
std::string log_attributes_json(const StoredLog& log) {
  if (log.resource_attributes.empty()) return attributes_json(log.attributes);
  std::vector<StoredAttribute> all = log.attributes;
  std::erase_if(all, [](const StoredAttribute& a) { return a.key == kResourceKey; });
  StoredAttribute& resource = all.emplace_back();
  resource.key = kResourceKey;
  resource.kind = telemetry::AttributeValue::Kind::json;
  resource.text = attributes_json(log.resource_attributes);
  return attributes_json(all);
}

void log_row(const StoredLog& log, RowWriter& row, std::string& key) {
  const std::string_view route = route_of(log.attributes);
  row.clear();
  row.text(log.service);
  row.text(route);
  row.integer(static_cast<int64_t>(log.time_unix_nanos));
  row.integer(log.severity_number);
  row.text(log.level);
  row.text(log.severity);
  row.text(log.message);
  id_text(row, log.trace_id);
  id_text(row, log.span_id);
  row.text(log.trace_text);
  row.text(log_attributes_json(log));
  begin_key(key, log.service, route, log.time_unix_nanos);
  key += std::string_view(log.message).substr(0, 64);  // the same order at every attempt
}

std::string labels_json(const LabelSet& labels) {
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    if (out.size() > 1) out += ',';
    telemetry::append_json_text(out, name);
    out += ':';
    telemetry::append_json_text(out, value);
  }
  return out + "}";
}

void sample_row(const LabelSet& labels, std::string_view json, const Sample& sample,
                RowWriter& row) {
  series_row(labels, json, sample.t_millis, row);
  row.real(sample.value);
}

void histogram_row(const LabelSet& labels, std::string_view json, const HistogramSample& sample,
                   RowWriter& row) {
  const telemetry::Histogram& value = *sample.value;
  series_row(labels, json, sample.t_millis, row);
  row.integer(static_cast<int64_t>(value.count));
  row.real(value.sum);
  row.integer(static_cast<int64_t>(value.zero_count));
  row.integer(value.scale);
  row.text(buckets_json(value.positive));
  row.text(buckets_json(value.negative));
}

void edge_row(int64_t begin_millis, const EdgeNames& names, const EdgeTotals& totals,
              bool by_second, RowWriter& row) {
  row.clear();
  row.integer(begin_millis);
  row.text(names.first);
  row.text(names.second);
  row.integer(static_cast<int64_t>(totals.requests));
  row.integer(static_cast<int64_t>(totals.errors));
  row.real(totals.duration.sum);
  row.integer(static_cast<int64_t>(totals.duration.zero_count));
  row.text(buckets_json(totals.duration.positive));
  row.text(by_second ? seconds_json(totals.requests_of) : "[]");
  row.text(by_second ? seconds_json(totals.errors_of) : "[]");
}

// ---------------------------------------------------------------- and back

StoredSpan span_of(const std::vector<ColumnValues>& columns, size_t index) {
  namespace at = span_column;
  const auto text = [&](size_t column) { return columns[column].texts[index]; };
  StoredSpan span;
  span.trace_id = trace_of(text(at::trace_id));
  span.span_id = span_id_of(text(at::span_id));
  span.parent_span_id = span_id_of(text(at::parent));
  span.kind = static_cast<telemetry::SpanKind>(number_of(kKinds, text(at::kind)));
  span.status = static_cast<telemetry::SpanStatus>(number_of(kStatuses, text(at::status)));
  span.start_unix_nanos = static_cast<uint64_t>(columns[at::start].integers[index]);
  span.end_unix_nanos =
      span.start_unix_nanos + static_cast<uint64_t>(columns[at::duration].integers[index]);
  span.service = text(at::service);
  span.instance = text(at::instance);
  span.name = text(at::name);
  span.status_message = text(at::status_message);
  span.scope = text(at::scope);
  span.trace_text = text(at::x_trace);
  span.attributes = attributes_of_json(text(at::attributes));
  span.resource_attributes = attributes_of_json(text(at::resource));
  span.events = events_of_json(text(at::events));
  span.links = links_of_json(text(at::links));
  return span;
}

StoredLog log_of(const std::vector<ColumnValues>& columns, size_t index) {
  namespace at = log_column;
  const auto text = [&](size_t column) { return columns[column].texts[index]; };
  StoredLog log;
  log.time_unix_nanos = static_cast<uint64_t>(columns[at::time].integers[index]);
  log.severity_number = static_cast<uint8_t>(columns[at::severity_number].integers[index]);
  log.service = text(at::service);
  log.level = text(at::level);
  log.severity = text(at::severity);
  log.message = text(at::message);
  log.trace_id = trace_of(text(at::trace_id));
  log.span_id = span_id_of(text(at::span_id));
  log.trace_text = text(at::x_trace);
  set_attributes(log, text(at::attributes));
  return log;
}

void set_attributes(StoredLog& log, std::string_view json) {
  log.attributes = attributes_of_json(json);
  std::erase_if(log.attributes, [&log](const StoredAttribute& a) {
    if (a.key != kResourceKey || a.kind != telemetry::AttributeValue::Kind::json) return false;
    log.resource_attributes = attributes_of_json(a.text);
    return true;
  });
}

HistogramSample histogram_of(const std::vector<ColumnValues>& columns, size_t index) {
  namespace at = series_column;
  auto value = std::make_shared<telemetry::Histogram>();
  value->count = static_cast<uint64_t>(columns[at::count].integers[index]);
  value->sum = columns[at::sum].reals[index];
  value->zero_count = static_cast<uint64_t>(columns[at::zero_count].integers[index]);
  value->scale = static_cast<int32_t>(columns[at::scale].integers[index]);
  value->positive = buckets_of(columns[at::positive].texts[index]);
  value->negative = buckets_of(columns[at::negative].texts[index]);
  return {columns[at::time].integers[index], std::move(value)};
}

LakeEdge edge_of(const std::vector<ColumnValues>& columns, size_t index) {
  namespace at = edge_column;
  const auto text = [&](size_t column) { return columns[column].texts[index]; };
  const auto number = [&](size_t column) {
    return static_cast<uint64_t>(columns[column].integers[index]);
  };
  LakeEdge edge;
  edge.begin_millis = columns[at::time].integers[index];
  edge.names = {std::string(text(at::from)), std::string(text(at::to))};
  edge.totals.requests = number(at::requests);
  edge.totals.errors = number(at::errors);
  telemetry::Histogram& duration = edge.totals.duration;
  duration.sum = columns[at::duration_sum].reals[index];
  duration.zero_count = duration.count = number(at::zero_count);
  duration.positive = buckets_of(text(at::buckets));
  for (const auto& bucket : duration.positive) duration.count += bucket.count;
  edge.totals.requests_of = seconds_of(text(at::requests_by_second));
  edge.totals.errors_of = seconds_of(text(at::errors_by_second));
  return edge;
}

LabelSet labels_of(std::string_view json) {
  LabelSet out;
  const auto parsed = nlohmann::ordered_json::parse(json, nullptr, false);
  if (!parsed.is_object()) return out;
  for (const auto& [name, value] : parsed.items()) {
    if (value.is_string()) out.emplace_back(name, value.get<std::string>());
  }
  return out;
}

}  // namespace hms::collector
