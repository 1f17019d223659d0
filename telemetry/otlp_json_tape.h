// otlp_json_tape.h: one record of a JSON body as a flat list of values, and a cursor over it;
// private to telemetry/otlp_json*.cc. Thread: one owner.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace hms::telemetry::otlp {

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
  /// Of a value that is not there: null.
  [[nodiscard]] const Node& node() const {
    static constexpr Node kAbsent{};
    return tape_ == nullptr ? kAbsent : tape_->nodes[at_];
  }
  [[nodiscard]] bool is(NodeKind kind) const { return node().kind == kind; }
  [[nodiscard]] std::string_view key() const { return node().key; }

  /// Calls `visit(Value)` for each child of an array or object; nothing for other kinds.
  template <class Visit>
  void each(Visit visit) const {
    if (!is(NodeKind::array) && !is(NodeKind::object)) return;
    const uint32_t end = node().end;
    for (Value child(tape_, at_ + 1); child.at_ < end; child.at_ = child.node().end) visit(child);
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
  /// A number below 0, as number or as text: no value for an unsigned field.
  [[nodiscard]] bool negative() const {
    return (is(NodeKind::integer) && node().integer < 0) ||
           (is(NodeKind::real) && node().real < 0) ||
           (is(NodeKind::text) && parsed<double>(node().text) < 0);
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

}  // namespace hms::telemetry::otlp
