// chunk_block.h: what the columns of a chunk are made of, so that one is read without the others: a
// block of bytes packed on its own, numbers as planes of bytes, and texts.
//
// Why planes: the low bytes of times are noise and the high ones nearly constant; apart, zstd
// leaves the first as they are and takes the second away, and any row is read without those before
// it. Readers never trust: whatever does not fit sets `failed()` of the reader and yields zeros.
// Limits: kMaxChunkRows; kMaxChunkBytes unpacked in all. Thread: values. Format:
// docs/storage-format.md, "Blocks".
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_columns.h"

namespace hms::collector {

inline constexpr size_t kMaxChunkRows = 1UL << 20;  // of spans, lines, or events in one chunk

/// Whether each block is packed: not in a small chunk, which is packed as a whole.
enum class Packing : uint8_t { none, each_block };

/// The reader must know the size.
void write_block(ColumnWriter& out, std::string_view bytes, Packing packing);
/// Signed numbers are given as their 64 bits.
void write_numbers(ColumnWriter& out, std::span<const uint64_t> values, Packing packing);
void write_texts(ColumnWriter& out, std::span<const std::string_view> texts, Packing packing);

/// Appends one frame of a small chunk, packed quickly: it is soon merged.
void pack_whole(std::string_view columns, std::string& out);
[[nodiscard]] net::Result<std::string> unpack_whole(std::string_view frame);

/// Unpacked bytes: they stay where they are when the arena is moved.
class BlockArena {
 public:
  /// Unpacks a frame of exactly `size` bytes. False: it is not one, or too much in all.
  [[nodiscard]] bool unpack(std::string_view frame, size_t size, std::string_view& bytes);
  [[nodiscard]] bool repeat(char byte, size_t size, std::string_view& bytes);
  std::string_view keep(std::string bytes);
  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::deque<std::string> take() noexcept { return std::move(pieces_); }

 private:
  std::deque<std::string> pieces_;
  size_t bytes_ = 0;
};

[[nodiscard]] std::string_view read_block(ColumnReader& in, size_t size, BlockArena& arena);

class Numbers {
 public:
  /// `count` of them.
  [[nodiscard]] static Numbers read(ColumnReader& in, size_t count, BlockArena& arena);
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] uint64_t at(size_t i) const noexcept {
    uint64_t value = 0;
    for (size_t plane = 0; plane < width_; ++plane)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(planes_[plane][i])) << (8 * plane);
    return least_ + value;
  }
  [[nodiscard]] std::vector<uint64_t> all() const;
  /// Whether all are below `bound`.
  [[nodiscard]] bool below(uint64_t bound) const;
  /// Adds the places of `value` to `rows`.
  void find(uint64_t value, std::vector<uint32_t>& rows) const;

 private:
  uint64_t least_ = 0;
  size_t size_ = 0, width_ = 0;
  std::array<const char*, 8> planes_{};
};

class Texts {
 public:
  [[nodiscard]] static Texts read(ColumnReader& in, size_t count, BlockArena& arena);
  [[nodiscard]] size_t size() const noexcept { return ends_.size(); }
  [[nodiscard]] std::string_view at(size_t i) const noexcept {
    const uint32_t begin = i == 0 ? 0 : ends_[i - 1];
    return bytes_.substr(begin, ends_[i] - begin);
  }

 private:
  std::vector<uint32_t> ends_;
  std::string_view bytes_;
};

}  // namespace hms::collector
