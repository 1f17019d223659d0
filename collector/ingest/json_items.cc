#include "collector/ingest/json_items.h"

#include <algorithm>

namespace hms::collector {
namespace {

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// Position after the closing quotation mark, or `limit`.
size_t end_of_text(std::string_view body, size_t at, size_t limit) noexcept {
  for (size_t i = at + 1; i < limit; ++i) {
    if (body[i] == '\\')
      ++i;
    else if (body[i] == '"')
      return i + 1;
  }
  return limit;
}

}  // namespace

JsonItems::JsonItems(std::string_view body) : body_(body) {
  if (body_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;  // a byte order mark
  skip_blanks();
  if (at_ >= body_.size()) return;
  if (body_[at_] == '[') {
    form_ = Form::array;
    ++at_;
    return;
  }
  const size_t line_end = std::min(body_.find('\n', at_), body_.size());
  const Extent first = end_of_value(at_, body_.size());
  if (first.end <= line_end) {
    form_ = Form::lines;
    return;
  }
  const bool whole = first.closed && body_.find_first_not_of(" \t\r\n", first.end) == body_.npos;
  if (!whole && has_later_object(line_end)) form_ = Form::lines;
}

/// Says that a first line which does not end was a broken one, and no value over several lines.
bool JsonItems::has_later_object(size_t from) const noexcept {
  while (from < body_.size()) {
    size_t begin = from + 1;
    const size_t end = std::min(body_.find('\n', begin), body_.size());
    while (begin < end && is_blank(body_[begin])) ++begin;
    if (begin < end && body_[begin] == '{') {
      const Extent object = end_of_value(begin, end);
      if (object.closed && body_.substr(object.end, end - object.end).find_first_not_of(" \t\r") ==
                               std::string_view::npos)
        return true;
    }
    from = end;
  }
  return false;
}

std::optional<JsonItems::Item> JsonItems::next() {
  if (ended_ || fault_ != nullptr) return std::nullopt;
  switch (form_) {
    case Form::array:
      return next_in_array();
    case Form::lines:
      return next_line();
    case Form::single:
      return only_value();
  }
  return std::nullopt;
}

std::optional<JsonItems::Item> JsonItems::next_in_array() {
  skip_blanks();
  if (at_ >= body_.size()) return fail("the array is not closed", body_.size());
  if (body_[at_] == ']' || !first_) {
    if (body_[at_] == ']') {
      ++at_;
      skip_blanks();
      if (at_ < body_.size()) return fail("something follows the array", at_);
      ended_ = true;
      return std::nullopt;
    }
    if (body_[at_] != ',') return fail("expected ',' or ']'", at_);
    ++at_;
    skip_blanks();
    if (at_ >= body_.size()) return fail("the array is not closed", body_.size());
    if (body_[at_] == ']' || body_[at_] == ',') return fail("expected a value", at_);
  }
  first_ = false;
  const size_t begin = at_;
  const Extent value = end_of_value(begin, body_.size());
  at_ = value.end;
  if (at_ == begin) return fail("expected a value", begin);
  return make_item(begin, at_, value.depth);
}

std::optional<JsonItems::Item> JsonItems::next_line() {
  skip_blanks();
  if (at_ >= body_.size()) {
    ended_ = true;
    return std::nullopt;
  }
  const size_t begin = at_;
  size_t end = std::min(body_.find('\n', begin), body_.size());
  at_ = end;
  while (end > begin && is_blank(body_[end - 1])) --end;
  // The depth of the whole line, whatever stands on it: the parser judges what it is.
  size_t depth = 0;
  size_t position = begin;
  while (position < end) {
    const Extent value = end_of_value(position, end);
    depth = std::max(depth, value.depth);
    position = std::max(value.end, position + 1);
  }
  return make_item(begin, end, depth);
}

std::optional<JsonItems::Item> JsonItems::only_value() {
  if (at_ >= body_.size()) {
    if (first_) return fail("the body is empty", body_.size());
    ended_ = true;
    return std::nullopt;
  }
  first_ = false;
  const size_t begin = at_;
  const Extent value = end_of_value(begin, body_.size());
  at_ = value.end;
  skip_blanks();
  if (at_ < body_.size()) return fail("something follows the value", at_);
  return make_item(begin, value.end, value.depth);
}

void JsonItems::skip_blanks() noexcept {
  while (at_ < body_.size() && is_blank(body_[at_])) ++at_;
}

JsonItems::Extent JsonItems::end_of_value(size_t at, size_t limit) const noexcept {
  if (at >= limit) return {limit};
  if (body_[at] == '"') return {end_of_text(body_, at, limit)};
  if (body_[at] != '{' && body_[at] != '[') {
    size_t i = at;
    while (i < limit && !is_blank(body_[i]) && body_[i] != ',' && body_[i] != ']' &&
           body_[i] != '}')
      ++i;
    return {i};
  }
  size_t depth = 0, open = 0;
  for (size_t i = at; i < limit;) {
    const char c = body_[i];
    if (c == '"') {
      i = end_of_text(body_, i, limit);
      continue;
    }
    ++i;
    if (c == '{' || c == '[')
      depth = std::max(depth, ++open);
    else if ((c == '}' || c == ']') && --open == 0)
      return {i, depth, true};
  }
  return {limit, depth};
}

JsonItems::Item JsonItems::make_item(size_t begin, size_t end, size_t depth) const noexcept {
  Item item{body_.substr(begin, end - begin), begin, nullptr};
  if (depth > kMaxDepth) item.fault = "nested deeper than 24 levels";
  if (item.text.size() > kMaxItemBytes) item.fault = "larger than 1 MiB";
  return item;
}

std::optional<JsonItems::Item> JsonItems::fail(const char* what, size_t offset) noexcept {
  fault_ = what;
  fault_offset_ = offset;
  return std::nullopt;
}

}  // namespace hms::collector
