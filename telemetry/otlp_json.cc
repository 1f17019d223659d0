// otlp_json.cc: OTLP request bodies in JSON (the mapping's deviations: otlp_decode.h).
//
// nlohmann's SAX parser walks the body; only the part that makes one resource, scope, span, log or
// metric is held, as a flat tape of nodes, so that memory stays near the size of the largest record
// (a DOM of a 64 MiB body takes over a gigabyte). Keys may come in any order, so a resource's or
// scope's fields are set when its object ends. Bounds: 64 levels, 2,000,000 values in one record.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "telemetry/otlp_read.h"
#include "telemetry/text.h"

namespace hms::telemetry::otlp {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxNodes = 2'000'000;

enum class NodeKind : uint8_t {
  null,
  boolean,
  integer,
  unsigned_integer,
  real,
  text,
  array,
  object
};

/// One value; children follow it, `end` is the index after the last of them.
struct Node {
  NodeKind kind = NodeKind::null;
  bool boolean = false;
  uint32_t end = 0;
  std::string_view key;   // in an object
  std::string_view text;  // strings
  union {
    int64_t integer = 0;
    uint64_t unsigned_integer;
    double real;
  };
};

/// The tape of one record and the texts it points to.
struct Tape {
  std::vector<Node> nodes;
  std::deque<std::string> texts;
  void clear() {
    nodes.clear();
    texts.clear();
  }
};

/// A cursor on one value of the tape.
class Value {
 public:
  Value() = default;
  Value(const Tape* tape, uint32_t at) : tape_(tape), at_(at) {}
  [[nodiscard]] bool present() const { return tape_ != nullptr; }
  [[nodiscard]] const Node& node() const { return tape_->nodes[at_]; }
  [[nodiscard]] bool is(NodeKind kind) const { return present() && node().kind == kind; }
  [[nodiscard]] std::string_view key() const { return node().key; }

  /// Calls `visit(Value)` for each child of an array or object; nothing for other kinds.
  template <class Visit>
  void each(Visit visit) const {
    if (!is(NodeKind::array) && !is(NodeKind::object)) return;
    for (uint32_t child = at_ + 1; child < node().end; child = tape_->nodes[child].end)
      visit(Value(tape_, child));
  }
  [[nodiscard]] Value get(std::string_view key) const {
    Value found;
    if (!is(NodeKind::object)) return found;
    each([&](Value child) {
      if (child.key() == key) found = child;
    });
    return found;
  }
  [[nodiscard]] std::string_view text() const {
    return is(NodeKind::text) ? node().text : std::string_view();
  }
  /// Integers as number or as text; 0 for anything else.
  [[nodiscard]] int64_t integer() const {
    if (!present()) return 0;
    switch (node().kind) {
      case NodeKind::integer:
        return node().integer;
      case NodeKind::unsigned_integer:
        return static_cast<int64_t>(std::min<uint64_t>(node().unsigned_integer, INT64_MAX));
      case NodeKind::real:
        return std::fabs(node().real) < 9e18 ? static_cast<int64_t>(node().real) : 0;
      case NodeKind::text:
        return parsed<int64_t>(node().text);
      case NodeKind::null:
      case NodeKind::boolean:
      case NodeKind::array:
      case NodeKind::object:
        return 0;
    }
    return 0;
  }
  [[nodiscard]] uint64_t unsigned_integer() const {
    if (!present()) return 0;
    switch (node().kind) {
      case NodeKind::integer:
        return node().integer < 0 ? 0 : static_cast<uint64_t>(node().integer);
      case NodeKind::unsigned_integer:
        return node().unsigned_integer;
      case NodeKind::real:
        return node().real >= 0 && node().real < 1.8e19 ? static_cast<uint64_t>(node().real) : 0;
      case NodeKind::text:
        return parsed<uint64_t>(node().text);
      case NodeKind::null:
      case NodeKind::boolean:
      case NodeKind::array:
      case NodeKind::object:
        return 0;
    }
    return 0;
  }
  /// Also "NaN", "Infinity", "-Infinity".
  [[nodiscard]] double real() const {
    if (!present()) return 0;
    switch (node().kind) {
      case NodeKind::integer:
        return static_cast<double>(node().integer);
      case NodeKind::unsigned_integer:
        return static_cast<double>(node().unsigned_integer);
      case NodeKind::real:
        return node().real;
      case NodeKind::text:
        if (node().text == "NaN") return std::numeric_limits<double>::quiet_NaN();
        if (node().text == "Infinity") return std::numeric_limits<double>::infinity();
        if (node().text == "-Infinity") return -std::numeric_limits<double>::infinity();
        return parsed<double>(node().text);
      case NodeKind::null:
      case NodeKind::boolean:
      case NodeKind::array:
      case NodeKind::object:
        return 0;
    }
    return 0;
  }
  [[nodiscard]] bool boolean() const { return is(NodeKind::boolean) && node().boolean; }

 private:
  template <class T>
  static T parsed(std::string_view text) {
    T value{};
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    return fault == std::errc() && end == text.data() + text.size() ? value : T{};
  }
  const Tape* tape_ = nullptr;
  uint32_t at_ = 0;
};

// === from the tape into a batch ===

/// Texts of the tape live until the record ends; what a batch keeps is copied.
std::string_view kept(BatchStorage& batch, std::string_view text) {
  if (text.empty()) return {};
  const auto cut = clean_text(batch, text);
  return cut.data() >= text.data() && cut.data() < text.data() + text.size()
             ? batch.keep(std::string(cut))
             : cut;
}

/// A plain JSON text of an AnyValue. False when it has grown past its bound.
bool append_any_json(std::string& out, Value any, int depth) {
  if (out.size() > kMaxTextBytes || depth > kMaxNesting) return false;
  bool whole = true;
  const size_t begin = out.size();
  any.each([&](Value field) {
    if (!whole) return;
    out.resize(begin);
    const auto key = field.key();
    if (key == "stringValue") {
      append_json_text(out, field.text());
    } else if (key == "boolValue") {
      out += field.boolean() ? "true" : "false";
    } else if (key == "intValue") {
      out += std::to_string(field.integer());
    } else if (key == "doubleValue") {
      append_json_number(out, field.real());
    } else if (key == "bytesValue") {
      append_json_text(out, field.text());  // base64 already
    } else if (key == "arrayValue" || key == "kvlistValue") {
      const bool is_map = key == "kvlistValue";
      out += is_map ? '{' : '[';
      bool first = true;
      field.get("values").each([&](Value item) {
        if (!whole) return;
        if (!first) out += ',';
        first = false;
        if (is_map) {
          append_json_text(out, item.get("key").text());
          out += ':';
        }
        whole = append_any_json(out, is_map ? item.get("value") : item, depth + 1);
      });
      out += is_map ? '}' : ']';
    }
  });
  if (out.size() == begin) out += "null";
  return whole && out.size() <= kMaxTextBytes;
}

AttributeValue read_any(BatchStorage& batch, Value any) {
  AttributeValue value;
  any.each([&](Value field) {
    if (value.kind == AttributeValue::Kind::json)
      return;  // read whole already; a repeated key must not cost a pass each
    const auto key = field.key();
    if (key == "stringValue" && field.is(NodeKind::text)) {
      value.kind = AttributeValue::Kind::text;
      value.text = kept(batch, field.text());
    } else if (key == "boolValue" && field.is(NodeKind::boolean)) {
      value.kind = AttributeValue::Kind::boolean;
      value.boolean = field.boolean();
    } else if (key == "intValue") {
      value.kind = AttributeValue::Kind::integer;
      value.integer = field.integer();
    } else if (key == "doubleValue") {
      value.kind = AttributeValue::Kind::real;
      value.real = field.real();
    } else if (key == "arrayValue" || key == "kvlistValue" || key == "bytesValue") {
      std::string json;
      if (!append_any_json(json, any, 1)) {
        json = "\"(left out: larger than 65536 bytes or deeper than 16 levels)\"";
        ++batch.truncated;
      }
      value.kind = AttributeValue::Kind::json;
      value.text = batch.keep(std::move(json));
    }
  });
  return value;
}

AttributeRange read_attributes(BatchStorage& batch, Value list) {
  AttributeRange range;
  range.begin = attribute_mark(batch);
  list.each([&](Value item) {
    Attribute attribute;
    attribute.key = item.get("key").text();
    if (attribute.key.empty()) return;
    if (batch.attributes.size() - range.begin < kMaxAttributesPerRecord) {
      attribute.key = kept(batch, attribute.key);
      attribute.value = read_any(batch, item.get("value"));
    }
    add_attribute(batch, range.begin, attribute);
  });
  range.end = attribute_mark(batch);
  return range;
}

bool take_id(Value value, TraceId& id) {
  const auto parsed = parse_trace_id(value.text());
  if (parsed) id = *parsed;
  return parsed.has_value();
}
bool take_id(Value value, SpanId& id) {
  const auto parsed = parse_span_id(value.text());
  if (parsed) id = *parsed;
  return parsed.has_value();
}

void read_events_and_links(TraceBatch& batch, SpanView& span, Value record) {
  const auto check = [&] {
    if (batch.events.size() + batch.links.size() >= kMaxEventsAndLinks) {
      throw LimitCrossed(
          "more than 1000000 span events and links in one body; send smaller batches");
    }
  };
  span.events_begin = static_cast<uint32_t>(batch.events.size());
  record.get("events").each([&](Value item) {
    if (batch.events.size() - span.events_begin >= kMaxEventsPerSpan) {
      ++batch.truncated;
      return;
    }
    check();
    SpanEventView event;
    event.time_unix_nanos = item.get("timeUnixNano").unsigned_integer();
    event.name = kept(batch, item.get("name").text());
    event.attributes = read_attributes(batch, item.get("attributes"));
    batch.events.push_back(event);
  });
  span.events_end = static_cast<uint32_t>(batch.events.size());
  span.links_begin = static_cast<uint32_t>(batch.links.size());
  record.get("links").each([&](Value item) {
    if (batch.links.size() - span.links_begin >= kMaxEventsPerSpan) {
      ++batch.truncated;
      return;
    }
    check();
    SpanLinkView link;
    if (take_id(item.get("traceId"), link.trace_id) && take_id(item.get("spanId"), link.span_id) &&
        !link.trace_id.is_zero() && !link.span_id.is_zero()) {
      batch.links.push_back(link);
    }
  });
  span.links_end = static_cast<uint32_t>(batch.links.size());
}

void read_record(TraceBatch& batch, Tally& tally, uint32_t resource, Value record) {
  tally.next();
  SpanView span;
  span.resource = resource;
  IdFaults faults;
  faults.trace = !take_id(record.get("traceId"), span.trace_id);
  faults.span = !take_id(record.get("spanId"), span.span_id);
  const Value parent = record.get("parentSpanId");
  faults.parent = !parent.text().empty() && !take_id(parent, span.parent_span_id);
  span.name = kept(batch, record.get("name").text());
  span.kind = span_kind(record.get("kind").integer());
  span.start_unix_nanos = record.get("startTimeUnixNano").unsigned_integer();
  span.end_unix_nanos = record.get("endTimeUnixNano").unsigned_integer();
  const Value status = record.get("status");
  span.status = span_status(status.get("code").integer());
  span.status_message = kept(batch, status.get("message").text());
  span.attributes = read_attributes(batch, record.get("attributes"));
  read_events_and_links(batch, span, record);
  if (const auto reason = add_span(batch, span, faults); !reason.empty()) {
    tally.reject(reason);
    batch.attributes.resize(span.attributes.begin);
    batch.events.resize(span.events_begin);
    batch.links.resize(span.links_begin);
  }
}

void read_record(LogBatch& batch, Tally& tally, uint32_t resource, Value record) {
  tally.next();
  LogView log;
  log.resource = resource;
  log.time_unix_nanos = record.get("timeUnixNano").unsigned_integer();
  const int64_t number = record.get("severityNumber").integer();
  log.severity_number = static_cast<uint8_t>(number >= 0 && number <= 24 ? number : 0);
  log.level = kept(batch, record.get("severityText").text());
  log.message = message_of(batch, read_any(batch, record.get("body")));
  if (!take_id(record.get("traceId"), log.trace_id)) log.trace_id = {};
  if (!take_id(record.get("spanId"), log.span_id)) log.span_id = {};
  log.attributes = read_attributes(batch, record.get("attributes"));
  add_log(batch, log, record.get("observedTimeUnixNano").unsigned_integer());
}

// === metrics ===

template <class T, class Read>
void fill(Value list, std::vector<T>& out, Read read) {
  list.each([&](Value item) {
    if (out.size() <= kMaxBucketSlots)
      out.push_back(read(item));  // one more than allowed: refused further on
  });
}

void read_buckets(RawBuckets& buckets, Value value) {
  buckets.offset = value.get("offset").integer();
  fill(value.get("bucketCounts"), buckets.counts, [](Value v) { return v.unsigned_integer(); });
}

struct Scratch {
  RawExponential exponential;
  RawExplicit explicit_bounds;
  RawSummary summary;
};

template <class Raw>
void read_extremes(Raw& raw, Value point) {
  raw.count = point.get("count").unsigned_integer();
  raw.sum = point.get("sum").real();
  raw.has_min = point.get("min").present(), raw.min = point.get("min").real();
  raw.has_max = point.get("max").present(), raw.max = point.get("max").real();
}

std::string_view read_point(MetricBatch& batch, const MetricHead& metric, std::string_view kind,
                            Value data, Value value, Scratch& scratch) {
  PointHead point;
  point.start_unix_nanos = value.get("startTimeUnixNano").unsigned_integer();
  point.time_unix_nanos = value.get("timeUnixNano").unsigned_integer();
  point.flags = value.get("flags").unsigned_integer();
  point.attributes = read_attributes(batch, value.get("attributes"));
  const int64_t temporality = data.get("aggregationTemporality").integer();
  if (kind == "exponentialHistogram") {
    RawExponential& raw = scratch.exponential;
    raw.clear();
    read_extremes(raw, value);
    raw.scale = value.get("scale").integer();
    raw.zero_count = value.get("zeroCount").unsigned_integer();
    read_buckets(raw.positive, value.get("positive"));
    read_buckets(raw.negative, value.get("negative"));
    return add_exponential(batch, metric, point, raw, temporality);
  }
  if (kind == "histogram") {
    RawExplicit& raw = scratch.explicit_bounds;
    raw.clear();
    read_extremes(raw, value);
    fill(value.get("bucketCounts"), raw.counts, [](Value v) { return v.unsigned_integer(); });
    fill(value.get("explicitBounds"), raw.bounds, [](Value v) { return v.real(); });
    return add_explicit(batch, metric, point, raw, temporality);
  }
  if (kind == "summary") {
    RawSummary& raw = scratch.summary;
    raw.clear();
    raw.count = value.get("count").unsigned_integer();
    raw.sum = value.get("sum").real();
    value.get("quantileValues").each([&](Value pair) {
      if (raw.quantiles.size() <= kMaxQuantiles)
        raw.quantiles.emplace_back(pair.get("quantile").real(), pair.get("value").real());
    });
    return add_summary(batch, metric, point, raw);
  }
  const Value real = value.get("asDouble"), integer = value.get("asInt");
  if (!real.present() && !integer.present() && (point.flags & 1) == 0)
    return "the data point has no value";
  const double number = integer.present() ? static_cast<double>(integer.integer()) : real.real();
  if (kind == "sum")
    return add_sum(batch, metric, point, number, temporality, data.get("isMonotonic").boolean());
  return add_gauge(batch, metric, point, number);
}

void read_record(MetricBatch& batch, Tally& tally, uint32_t resource, Value record) {
  MetricHead metric;
  metric.resource = resource;
  metric.name = kept(batch, record.get("name").text());
  metric.unit = kept(batch, record.get("unit").text());
  metric.description = kept(batch, record.get("description").text());
  Scratch scratch;
  for (const std::string_view kind :
       {"gauge", "sum", "histogram", "exponentialHistogram", "summary"}) {
    const Value data = record.get(kind);
    data.get("dataPoints").each([&](Value point) {
      tally.next();
      const auto mark = attribute_mark(batch);
      const size_t points = batch.points.size();
      const auto reason = read_point(batch, metric, kind, data, point, scratch);
      if (reason.empty()) return;
      tally.reject(reason);
      batch.attributes.resize(mark);
      batch.points.resize(points);
    });
  }
}

// === the walk ===

/// The names of one signal's levels.
struct Names {
  std::string_view groups, scopes, records;
};
constexpr Names names_of(const TraceBatch*) { return {"resourceSpans", "scopeSpans", "spans"}; }
constexpr Names names_of(const MetricBatch*) {
  return {"resourceMetrics", "scopeMetrics", "metrics"};
}
constexpr Names names_of(const LogBatch*) { return {"resourceLogs", "scopeLogs", "logRecords"}; }

/// Where a value stands in the request.
enum class Where : uint8_t {
  request,
  groups,
  group,
  resource,
  scopes,
  scope_group,
  scope,
  records,
  record,
  elsewhere
};

template <class Batch>
class Walker : public nlohmann::json_sax<nlohmann::json> {
 public:
  Walker(Batch& batch, Tally& tally) : batch_(batch), tally_(tally) { levels_.reserve(kMaxDepth); }
  std::string fault;  // set when the body could not be read

  bool null() override { return value(Node()); }
  bool boolean(bool flag) override {
    Node node;
    node.kind = NodeKind::boolean, node.boolean = flag;
    return value(node);
  }
  bool number_integer(number_integer_t number) override {
    Node node;
    node.kind = NodeKind::integer, node.integer = number;
    return value(node);
  }
  bool number_unsigned(number_unsigned_t number) override {
    Node node;
    node.kind = NodeKind::unsigned_integer, node.unsigned_integer = number;
    return value(node);
  }
  bool number_float(number_float_t number, const string_t&) override {
    Node node;
    node.kind = NodeKind::real, node.real = number;
    return value(node);
  }
  bool string(string_t& text) override {
    Node node;
    node.kind = NodeKind::text;
    if (capturing()) node.text = hold(std::move(text));
    return value(node);
  }
  bool binary(binary_t&) override { return true; }  // never in JSON text
  bool key(string_t& name) override {
    Level& level = levels_.back();
    if (capturing()) {
      level.key = hold(std::move(name));
    } else {
      level.name.assign(name, 0, 64);
      level.key = level.name;
    }
    return true;
  }
  bool start_object(std::size_t) override { return open(NodeKind::object); }
  bool start_array(std::size_t) override { return open(NodeKind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& exception) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...": what
    // follows the position is the sentence.
    std::string_view sentence = exception.what();
    if (const size_t colon = sentence.find(": "); colon != std::string_view::npos)
      sentence.remove_prefix(colon + 2);
    fault = "JSON: byte " + std::to_string(position) + (levels_.empty() ? "" : ", in " + path()) +
            ": " + repaired_utf8(sentence);
    return false;
  }

 private:
  struct Level {
    Where where = Where::elsewhere;
    bool is_array = false;
    bool captured = false;    // is on the tape
    uint32_t node = 0;        // its index there
    uint64_t next_index = 0;  // of an array
    std::string_view key;     // of an object
    std::string name;         // holds `key` when it is not on the tape
  };

  [[nodiscard]] bool capturing() const { return !levels_.empty() && levels_.back().captured; }
  std::string_view hold(std::string&& text) { return tape_.texts.emplace_back(std::move(text)); }

  /// "resourceSpans[0].scopeSpans[1].spans[3].traceId"
  [[nodiscard]] std::string path() const {
    std::string out;
    for (const Level& level : levels_) {
      if (level.is_array) {
        out += "[" + std::to_string(level.next_index == 0 ? 0 : level.next_index - 1) + "]";
      } else if (!level.key.empty()) {
        if (!out.empty()) out += '.';
        out += level.key.substr(0, 64);
      }
    }
    return out.empty() ? "the request" : out;
  }
  bool wrong(std::string_view sentence) {
    fault = "JSON: " + path() + ": " + std::string(sentence);
    return false;
  }

  /// Where the value now beginning stands, from where it is in.
  [[nodiscard]] Where place() const {
    if (levels_.empty()) return Where::request;
    const Level& in = levels_.back();
    const Names names = names_of(static_cast<const Batch*>(nullptr));
    switch (in.where) {
      case Where::request:
        return in.key == names.groups ? Where::groups : Where::elsewhere;
      case Where::groups:
        return Where::group;
      case Where::group:
        return in.key == "resource"     ? Where::resource
               : in.key == names.scopes ? Where::scopes
                                        : Where::elsewhere;
      case Where::scopes:
        return Where::scope_group;
      case Where::scope_group:
        return in.key == "scope"         ? Where::scope
               : in.key == names.records ? Where::records
                                         : Where::elsewhere;
      case Where::records:
        return Where::record;
      case Where::resource:
      case Where::scope:
      case Where::record:
      case Where::elsewhere:
        return Where::elsewhere;
    }
    return Where::elsewhere;
  }

  static bool should_be_array(Where where) {
    return where == Where::groups || where == Where::scopes || where == Where::records;
  }

  bool append(Node node) {
    if (tape_.nodes.size() >= kMaxNodes)
      throw LimitCrossed("JSON: " + path() + ": more than 2000000 values in one record");
    node.key = levels_.back().is_array ? std::string_view() : levels_.back().key;
    node.end = static_cast<uint32_t>(tape_.nodes.size() + 1);
    tape_.nodes.push_back(node);
    return true;
  }

  bool value(const Node& node) {
    const Where where = place();
    if (!levels_.empty() && levels_.back().is_array) ++levels_.back().next_index;
    if (capturing()) return append(node);
    if (where == Where::elsewhere) return true;
    if (node.kind == NodeKind::null && where != Where::request && !is_element(where))
      return true;  // as if absent
    return wrong(should_be_array(where) ? "expected an array" : "expected an object");
  }
  static bool is_element(Where where) {
    return where == Where::group || where == Where::scope_group || where == Where::record;
  }

  bool open(NodeKind kind) {
    if (levels_.size() >= kMaxDepth) return wrong("nested deeper than 64 levels");
    Level level;
    level.where = place();
    level.is_array = kind == NodeKind::array;
    if (!levels_.empty() && levels_.back().is_array) ++levels_.back().next_index;
    if (level.where != Where::elsewhere && level.is_array != should_be_array(level.where)) {
      return wrong(should_be_array(level.where) ? "expected an array" : "expected an object");
    }
    const bool begins_capture = level.where == Where::resource || level.where == Where::scope ||
                                level.where == Where::record;
    level.captured = begins_capture || capturing();
    if (level.captured) {
      if (begins_capture) tape_.clear();
      if (tape_.nodes.size() >= kMaxNodes)
        throw LimitCrossed("JSON: " + path() + ": more than 2000000 values in one record");
      Node node;
      node.kind = kind;
      node.key =
          begins_capture || levels_.back().is_array ? std::string_view() : levels_.back().key;
      level.node = static_cast<uint32_t>(tape_.nodes.size());
      tape_.nodes.push_back(node);
    }
    if (level.where == Where::group) resource_ = add_resource(batch_);
    if (level.where == Where::scope_group) begin_scope();
    levels_.push_back(std::move(level));
    return true;
  }

  bool close() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    if (level.captured) tape_.nodes[level.node].end = static_cast<uint32_t>(tape_.nodes.size());
    if (level.where == Where::record) read_record(batch_, tally_, resource_, Value(&tape_, 0));
    if (level.where == Where::resource) {
      const auto range = read_attributes(batch_, Value(&tape_, 0).get("attributes"));
      set_resource(batch_, resource_, range.begin);
    }
    if (level.where == Where::scope)
      scope_name_ = kept(batch_, Value(&tape_, 0).get("name").text());
    if (level.where == Where::scope_group) end_scope();
    return true;
  }

  void begin_scope() {
    scope_name_ = {};
    if constexpr (std::is_same_v<Batch, TraceBatch>) first_span_ = batch_.spans.size();
  }
  void end_scope() {
    if constexpr (std::is_same_v<Batch, TraceBatch>) {
      for (size_t i = first_span_; i < batch_.spans.size(); ++i)
        batch_.spans[i].scope_name = scope_name_;
    }
  }

  Batch& batch_;
  Tally& tally_;
  Tape tape_;
  std::vector<Level> levels_;
  uint32_t resource_ = 0;
  size_t first_span_ = 0;
  std::string_view scope_name_;
};

template <class Batch>
net::Result<void> walk(Batch& batch, Tally& tally) {
  Walker<Batch> walker(batch, tally);
  const auto refused = [](net::Code code, std::string detail) {
    return net::Error{code, net::Side::downstream, false, std::move(detail)};
  };
  try {
    if (!nlohmann::json::sax_parse(*batch.body, &walker))
      return refused(net::Code::bad_message, std::move(walker.fault));
  } catch (const LimitCrossed& limit) {
    return refused(net::Code::too_large, limit.sentence);
  } catch (const nlohmann::json::exception& exception) {
    return refused(net::Code::bad_message, std::string("JSON: ") + exception.what());
  }
  return {};
}

}  // namespace

net::Result<void> read_json(TraceBatch& batch, Tally& tally) { return walk(batch, tally); }
net::Result<void> read_json(MetricBatch& batch, Tally& tally) { return walk(batch, tally); }
net::Result<void> read_json(LogBatch& batch, Tally& tally) { return walk(batch, tally); }

}  // namespace hms::telemetry::otlp
