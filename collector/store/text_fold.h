// text_fold.h: letters without their case, for searches in texts: "ÄRGER" finds "Ärger".
//
// Code point by code point: a letter is as its capital's small letter, so that σ, ς and Σ are one.
// Nothing beyond ASCII becomes ASCII (U+212A KELVIN SIGN, ſ, Turkish ı and İ stay themselves), so
// what a question has of ASCII stands in the text as ASCII: such questions look at bytes alone, and
// filters of before this rule (chunk_filter.h) still narrow them down. ß is ẞ but not "ss"; letters
// and their combining marks are compared as they were sent. What is no UTF-8 stays byte for byte.
// Thread: any. Source: libutf8proc's table of Unicode; docs/api.md and docs/storage-format.md tell.
#pragma once

#include <string>
#include <string_view>

namespace hms::collector {

/// A-Z to a-z; other bytes as they are.
[[nodiscard]] constexpr char fold_ascii(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

[[nodiscard]] bool is_ascii(std::string_view text) noexcept;

/// Folding what is folded changes nothing.
[[nodiscard]] std::string fold_text(std::string_view text);

/// Whether `text`, folded, contains `folded`, which is. An empty one is contained everywhere.
[[nodiscard]] bool contains_folded(std::string_view text, std::string_view folded);

}  // namespace hms::collector
