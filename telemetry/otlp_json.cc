// otlp_json.cc: OTLP request bodies in JSON (the mapping's deviations: otlp_decode.h).
//
// nlohmann's SAX parser walks the body; only the part that makes one resource, scope, span, log or
// metric is held, as a flat tape of nodes, so that memory stays near the size of the largest record
// (a DOM of a 64 MiB body takes over a gigabyte). Keys may come in any order, so a resource's or
// scope's fields are set when its object ends. Bounds: 64 levels, 2,000,000 values in one record.
#include <nlohmann/json.hpp>

#include "telemetry/otlp_json_records.h"
#include "telemetry/text.h"

namespace hms::telemetry::otlp {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxNodes = 2'000'000;

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
  // The library takes a NUL for the end of its input, and would leave out what is behind it unseen.
  if (const size_t nul = batch.body->find('\0'); nul != std::string::npos)
    return refused(net::Code::bad_message, "JSON: a NUL at byte " + std::to_string(nul));
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
