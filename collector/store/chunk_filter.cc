#include "collector/store/chunk_filter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <string>

#include "collector/store/text_fold.h"

namespace hms::collector {
namespace {

constexpr char kVersion = 2, kVersionOfAsciiFolding = 1;
constexpr unsigned kProbes = 5;
constexpr size_t kMaxWords = 1UL << 14;  // 2^20 bits; folded in halves while they are sparse
constexpr size_t kMinWords = 8;
constexpr size_t kShort = 3, kLong = 6, kWindow = 7;

uint64_t mix(uint64_t x) noexcept {  // splitmix64's finalizer
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// Bytes in a row as one number, the first one highest, and how many they are.
uint64_t hash_of(uint64_t bytes, size_t length) noexcept {
  return mix(bytes + (static_cast<uint64_t>(length) << 56) + 0x9E3779B97F4A7C15ULL);
}

uint64_t hash_of(char kind, std::string_view first, std::string_view second) noexcept {
  uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a
  const auto add = [&hash](char c) { hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ULL; };
  add(kind);
  for (const char c : first) add(c);
  add('\0');
  for (const char c : second) add(c);
  return mix(hash);
}

/// The bit of probe `i` in a filter of `bits` (a power of two): the low bits of one number, so that
/// folding a filter in halves keeps every answer.
size_t bit_of(uint64_t hash, unsigned i, size_t bits) noexcept {
  const uint64_t step = (hash >> 32) | 1;
  return static_cast<size_t>((hash + i * step) & (bits - 1));
}

/// Calls `on_short(three bytes as a number)` and `on_long(hash)` for the groups that a folded text
/// has. (Folds A-Z itself, so that ASCII needs no copy.)
template <class Short, class Long>
void each_group(std::string_view text, const Short& on_short, const Long& on_long) {
  uint64_t bytes = 0;
  std::array<uint64_t, kWindow> window{};
  uint64_t last_chosen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    bytes = (bytes << 8) | static_cast<uint8_t>(fold_ascii(text[i]));
    if (i + 1 >= kShort) on_short(bytes & 0xFFFFFF);
    if (i + 1 < kLong) continue;
    const size_t group = i + 1 - kLong;
    window[group % kWindow] = hash_of(bytes & 0xFFFFFFFFFFFFULL, kLong);
    if (group + 1 < kWindow) continue;
    uint64_t least = window[0];
    for (size_t w = 1; w < kWindow; ++w) least = window[w] < least ? window[w] : least;
    if (least == last_chosen) continue;
    last_chosen = least;
    on_long(least);
  }
}

/// `bits` of a filter without its version; of no possible size: it may have any.
bool has_all(std::string_view bits, const std::vector<uint64_t>& hashes) noexcept {
  const size_t count = bits.size() * 8;
  if (!std::has_single_bit(count)) return true;
  for (const uint64_t hash : hashes) {
    for (unsigned i = 0; i < kProbes; ++i) {
      const size_t bit = bit_of(hash, i, count);
      if ((static_cast<uint8_t>(bits[bit / 8]) >> (bit % 8) & 1) == 0) return false;
    }
  }
  return true;
}

}  // namespace

uint64_t attribute_hash(std::string_view key, std::string_view value) noexcept {
  return hash_of('a', key, value);
}

uint32_t name_hash(std::string_view name) noexcept {
  return static_cast<uint32_t>(hash_of('o', name, {}));
}

FilterBuilder::FilterBuilder() : bits_(kMaxWords) {}

void FilterBuilder::set(uint64_t hash) {
  for (unsigned i = 0; i < kProbes; ++i) {
    const size_t bit = bit_of(hash, i, kMaxWords * 64);
    bits_[bit / 64] |= 1ULL << (bit % 64);
  }
}

void FilterBuilder::add_text(std::string_view text) {
  std::string folded;
  if (seen_.empty()) seen_.resize((1UL << 24) / 64);  // 2 MiB that a filter of values needs not
  each_group(
      is_ascii(text) ? text : std::string_view(folded = fold_text(text)),
      [this](uint64_t group) {
        uint64_t& word = seen_[group / 64];
        const uint64_t bit = 1ULL << (group % 64);
        if ((word & bit) != 0) return;
        word |= bit;
        set(hash_of(group, kShort));
      },
      [this](uint64_t hash) { set(hash); });
}

void FilterBuilder::add_value(char kind, std::string_view value) { set(hash_of(kind, value, {})); }

void FilterBuilder::add_attribute(std::string_view key, std::string_view value) {
  set(attribute_hash(key, value));
}

std::string FilterBuilder::finish() const {
  std::vector<uint64_t> words = bits_;
  const auto filled = [](const std::vector<uint64_t>& of) {
    size_t count = 0;
    for (const uint64_t word : of) count += static_cast<size_t>(std::popcount(word));
    return count;
  };
  while (words.size() > kMinWords) {
    std::vector<uint64_t> half(words.begin(),
                               words.begin() + static_cast<std::ptrdiff_t>(words.size() / 2));
    for (size_t i = 0; i < half.size(); ++i) half[i] |= words[half.size() + i];
    if (filled(half) * 2 > half.size() * 64) break;  // beyond half full it tells too little
    words = std::move(half);
  }
  std::string out(1, kVersion);
  for (const uint64_t word : words) {
    for (unsigned shift = 0; shift < 64; shift += 8)
      out.push_back(static_cast<char>(word >> shift));
  }
  return out;
}

void FilterQuestion::need_text(std::string_view text) {
  const auto need = [](std::string_view part, std::vector<uint64_t>& hashes) {
    each_group(
        part, [&](uint64_t group) { hashes.push_back(hash_of(group, kShort)); },
        [&](uint64_t hash) { hashes.push_back(hash); });
  };
  need(fold_text(text), texts_);
  const auto beyond_ascii = [](char c) { return static_cast<uint8_t>(c) >= 0x80; };
  for (auto begin = text.begin(); begin != text.end();) {
    const auto end = std::find_if(begin, text.end(), beyond_ascii);
    need(std::string_view(begin, end), texts_v1_);
    begin = std::find_if_not(end, text.end(), beyond_ascii);
  }
}

void FilterQuestion::need_value(char kind, std::string_view value) {
  values_.push_back(hash_of(kind, value, {}));
}

void FilterQuestion::need_attribute(std::string_view key, std::string_view value) {
  values_.push_back(attribute_hash(key, value));
}

bool FilterQuestion::may_match(std::string_view filter) const noexcept {
  if (filter.size() < 1 + kMinWords * 8) return true;
  const char version = filter.front();
  if (version != kVersion && version != kVersionOfAsciiFolding) return true;
  filter.remove_prefix(1);
  return has_all(filter, values_) && has_all(filter, version == kVersion ? texts_ : texts_v1_);
}

}  // namespace hms::collector
