// gather.h: what one callback wants to send, collected as slices so that it leaves in one system
// call.
//
// A slice must stay where it is until `flush`: bytes of the read slab, of a kept head, of an
// AddedBlock, static text. Chunk-size lines are written into the gather itself. Adjoining slices
// are joined, so a head without removed fields is one slice. One per worker and direction: nobody
// keeps anything in it over a callback's end. Thread: the worker's.
#pragma once

#include <array>
#include <cstring>
#include <string_view>

#include "net/core/check.h"
#include "net/io/stream.h"

namespace hms::proxy {

class Gather {
 public:
  static constexpr size_t kSlices = 256;
  static constexpr size_t kLineBytes = 1024;

  void add(std::string_view bytes) noexcept {
    if (bytes.empty()) return;
    bytes_ += bytes.size();
    if (count_ > 0) {
      std::string_view& last = slices_[count_ - 1];
      if (last.data() + last.size() == bytes.data()) {
        last = {last.data(), last.size() + bytes.size()};
        return;
      }
    }
    HMS_ENSURE(count_ < kSlices);
    slices_[count_++] = bytes;
  }

  /// "1a2b\r\n"
  void add_chunk_size(size_t size) noexcept {
    char digits[20];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    digits[--at] = '\r';
    do {
      digits[--at] = "0123456789abcdef"[size & 15U];
      size >>= 4U;
    } while (size != 0);
    const size_t length = sizeof digits - at;
    HMS_ENSURE(line_used_ + length <= kLineBytes);
    std::memcpy(lines_.data() + line_used_, digits + at, length);
    add({lines_.data() + line_used_, length});
    line_used_ += length;
  }

  /// True while a whole head (at most one slice a field and a few more) still fits.
  [[nodiscard]] bool roomy() const noexcept {
    return count_ + 160 < kSlices && line_used_ + 64 < kLineBytes;
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }

  void flush(net::Stream& stream) {
    if (count_ > 0) stream.write(std::span<const std::string_view>(slices_.data(), count_));
    clear();
  }
  void clear() noexcept { count_ = line_used_ = bytes_ = 0; }

 private:
  std::array<std::string_view, kSlices> slices_;
  std::array<char, kLineBytes> lines_;
  size_t count_ = 0, line_used_ = 0, bytes_ = 0;
};

/// Bytes that we add to a head: a fixed block, because every line in it is bounded.
class AddedBlock {
 public:
  static constexpr size_t kBytes = 2048;
  void clear() noexcept { used_ = taken_ = 0; }
  void append(std::string_view text) noexcept {
    HMS_ENSURE(used_ + text.size() <= kBytes);
    std::memcpy(bytes_ + used_, text.data(), text.size());
    used_ += text.size();
  }
  /// Room for `count` bytes that the caller fills.
  char* reserve(size_t count) noexcept {
    HMS_ENSURE(used_ + count <= kBytes);
    char* at = bytes_ + used_;
    used_ += count;
    return at;
  }
  void drop_back(size_t count) noexcept { used_ -= count; }
  /// What was appended since the last `take`.
  [[nodiscard]] std::string_view take() noexcept {
    const std::string_view piece(bytes_ + taken_, used_ - taken_);
    taken_ = used_;
    return piece;
  }

 private:
  char bytes_[kBytes];
  size_t used_ = 0, taken_ = 0;
};

}  // namespace hms::proxy
