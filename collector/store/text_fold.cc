#include "collector/store/text_fold.h"

#include <utf8proc.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace hms::collector {
namespace {

constexpr utf8proc_int32_t kBeyondAscii = 0x80;

utf8proc_int32_t fold_letter(utf8proc_int32_t letter) noexcept {
  const utf8proc_int32_t small = utf8proc_tolower(utf8proc_toupper(letter));
  return small < kBeyondAscii ? letter : small;
}

/// Folds the letter beyond ASCII that `text` begins with, or its first byte if that begins none;
/// how many bytes those were.
size_t append_letter(std::string_view text, std::string& out) {
  utf8proc_int32_t letter = 0;
  const utf8proc_ssize_t read =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &letter);
  if (read <= 0) {
    out.push_back(text.front());
    return 1;
  }
  const auto length = static_cast<size_t>(read);
  const utf8proc_int32_t folded = fold_letter(letter);
  if (folded == letter) {
    out.append(text.substr(0, length));
  } else {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const utf8proc_ssize_t written = utf8proc_encode_char(folded, bytes.data());
    out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(written));
  }
  return length;
}

/// Goes from one possible first byte to the next.
bool contains_folded_bytes(std::string_view text, std::string_view folded) noexcept {
  if (folded.size() > text.size()) return false;
  const size_t last = text.size() - folded.size();
  const char first = folded.front();
  for (size_t at = 0; at <= last; ++at) {
    if (fold_ascii(text[at]) != first) continue;
    size_t i = 1;
    while (i < folded.size() && fold_ascii(text[at + i]) == folded[i]) ++i;
    if (i == folded.size()) return true;
  }
  return false;
}

}  // namespace

bool is_ascii(std::string_view text) noexcept {
  // Eight bytes at a time: every line that is stored comes by here.
  constexpr uint64_t kHighBits = 0x8080808080808080ULL;
  uint64_t seen = 0;
  while (text.size() >= sizeof seen) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    seen |= word;
    text.remove_prefix(sizeof word);
  }
  for (const char c : text) seen |= static_cast<uint8_t>(c);
  return (seen & kHighBits) == 0;
}

std::string fold_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (static_cast<uint8_t>(text.front()) < kBeyondAscii) {
      out.push_back(fold_ascii(text.front()));
      text.remove_prefix(1);
    } else {
      text.remove_prefix(append_letter(text, out));
    }
  }
  return out;
}

bool contains_folded(std::string_view text, std::string_view folded) {
  if (folded.empty()) return true;
  if (is_ascii(folded)) return contains_folded_bytes(text, folded);
  return !is_ascii(text) && fold_text(text).find(folded) != std::string::npos;
}

}  // namespace hms::collector
