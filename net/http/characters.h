// characters.h: the character classes of RFC 9110 (section 5.6.2, 5.5).
//
// Thread: any. No allocation. One table, built at compile time, so that codec, guard, server and
// client mean the same by "token".
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "net/core/ascii.h"

namespace hms::net {

enum CharacterClass : uint8_t {
  kToken = 1,       // tchar: field names, methods
  kFieldValue = 2,  // HTAB, SP, VCHAR, obs-text: no CR, LF, NUL or other control
  kTarget = 4,      // visible ASCII without '#': request targets
  kHost = 8,        // RFC 3986 unreserved, sub-delims without ',' and '%': registered names
  kDigit = 16,
};

namespace detail {
constexpr std::array<uint8_t, 256> build_character_classes() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    const auto in = [c](std::string_view set) {
      return c != 0 && set.find(static_cast<char>(c)) != std::string_view::npos;
    };
    unsigned bits = 0;
    if (alpha || digit || in("!#$%&'*+-.^_`|~")) bits |= kToken;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= kFieldValue;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= kTarget;
    if (alpha || digit || in("-._~!$&'()*+;=%")) bits |= kHost;
    if (digit) bits |= kDigit;
    table[c] = static_cast<uint8_t>(bits);
  }
  return table;
}
}  // namespace detail

inline constexpr std::array<uint8_t, 256> kCharacterClasses = detail::build_character_classes();

[[nodiscard]] constexpr bool is_class(char c, CharacterClass wanted) noexcept {
  return (kCharacterClasses[static_cast<unsigned char>(c)] & wanted) != 0;
}

[[nodiscard]] constexpr bool all_class(std::string_view text, CharacterClass wanted) noexcept {
  for (const char c : text) {
    if (!is_class(c, wanted)) return false;
  }
  return true;
}

[[nodiscard]] constexpr bool is_token(std::string_view text) noexcept {
  return !text.empty() && all_class(text, kToken);
}

namespace detail {
/// Eight bytes of a field value at once: true if none of them is a control or DEL.
[[nodiscard]] inline bool plain_word(const char* at) noexcept {
  constexpr uint64_t kOnes = 0x0101010101010101ULL;
  constexpr uint64_t kHighs = 0x8080808080808080ULL;
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  const uint64_t below_blank = (word - kOnes * 0x20) & ~word & kHighs;
  const uint64_t differs_from_del = word ^ (kOnes * 0x7f);
  const uint64_t is_del = (differs_from_del - kOnes) & ~differs_from_del & kHighs;
  return (below_blank | is_del) == 0;
}
}  // namespace detail

/// True if no byte may break out of a field value. Eight bytes at a time: this runs over every byte
/// of every head. A word with a tab (allowed, but below the blank) is looked at byte by byte.
[[nodiscard]] inline bool is_field_value(std::string_view text) noexcept {
  if (text.size() < 8) return all_class(text, kFieldValue);
  const size_t last = text.size() - 8;
  for (size_t i = 0; i < last; i += 8) {
    if (!detail::plain_word(text.data() + i) && !all_class(text.substr(i, 8), kFieldValue)) {
      return false;
    }
  }
  return detail::plain_word(text.data() + last) || all_class(text.substr(last), kFieldValue);
}

[[nodiscard]] constexpr std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Calls `visit(member)` for each non-empty member of a comma-separated list, blanks trimmed, until
/// it returns false.
template <class Visit>
constexpr void for_each_member(std::string_view list, Visit&& visit) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view member = trim_blanks(list.substr(0, comma));
    if (!member.empty() && !visit(member)) return;
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace hms::net
