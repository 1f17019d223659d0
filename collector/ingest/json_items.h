// json_items.h: cuts an /ingest body into its items without parsing them: one object, an array of
// them, or one a line (NDJSON).
//
// One pass, no recursion, no copies: each item is then parsed by itself, so a 64 MiB body never
// becomes one tree in memory. A body whose first value does not end on its first line is one value
// over several lines, unless a later line is an object by itself: then the first line is a broken
// one. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hms::collector {

class JsonItems {
 public:
  enum class Form : uint8_t { single, array, lines };
  static constexpr size_t kMaxDepth = 24;
  static constexpr size_t kMaxItemBytes = 1024 * 1024;

  struct Item {
    std::string_view text;
    size_t offset = 0;            // of its first byte in the body
    const char* fault = nullptr;  // too deep or too large: not to be parsed
  };

  explicit JsonItems(std::string_view body);
  [[nodiscard]] Form form() const noexcept { return form_; }
  /// The next item, or nothing at the end or after a fault of the body's own frame (array and
  /// single form).
  [[nodiscard]] std::optional<Item> next();
  /// Set when the frame is broken: what, and at which byte (from 0).
  [[nodiscard]] const char* fault() const noexcept { return fault_; }
  [[nodiscard]] size_t fault_offset() const noexcept { return fault_offset_; }

 private:
  [[nodiscard]] bool has_later_object(size_t from) const noexcept;
  std::optional<Item> next_in_array();
  std::optional<Item> next_line();
  std::optional<Item> only_value();
  void skip_blanks() noexcept;
  struct Extent {
    size_t end = 0;  // the limit when the value does not end before
    size_t depth = 0;
    bool closed = false;
  };
  [[nodiscard]] Extent end_of_value(size_t at, size_t limit) const noexcept;
  Item make_item(size_t begin, size_t end, size_t depth) const noexcept;
  std::optional<Item> fail(const char* what, size_t offset) noexcept;

  std::string_view body_;
  size_t at_ = 0;
  Form form_ = Form::single;
  bool first_ = true;
  bool ended_ = false;
  const char* fault_ = nullptr;
  size_t fault_offset_ = 0;
};

}  // namespace hms::collector
