// chunk_columns.h: the bytes inside a chunk: variable-length integers, a dictionary of texts, and
// the envelope that is stored.
//
// A stored chunk is: version u8, then zstd of the columns. Numbers are LEB128 varints (signed ones
// zigzag), reals 8 bytes little-endian, texts are dictionary indices. Readers never trust: an index
// or length beyond its bound sets `failed()` and yields zeros, so a corrupt chunk ends as one
// error, not as a wild read. Thread: values. Format: docs/storage-format.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

class ColumnWriter {
 public:
  void u8(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void varint(uint64_t value);
  void zigzag(int64_t value);
  void real(double value);
  void raw(std::string_view bytes) { out_.append(bytes); }
  void text(std::string_view bytes);  // length, then bytes
  [[nodiscard]] const std::string& bytes() const noexcept { return out_; }
  [[nodiscard]] size_t size() const noexcept { return out_.size(); }

 private:
  std::string out_;
};

class ColumnReader {
 public:
  explicit ColumnReader(std::string_view in) : in_(in) {}
  uint8_t u8() {
    if (in_.empty()) {
      failed_ = true;
      return 0;
    }
    const auto value = static_cast<uint8_t>(in_.front());
    in_.remove_prefix(1);
    return value;
  }
  uint64_t varint() {
    // Most numbers of a chunk are small: one byte, one branch.
    if (!in_.empty() && static_cast<uint8_t>(in_.front()) < 0x80) return u8();
    return long_varint();
  }
  int64_t zigzag() {
    const uint64_t value = varint();
    return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  double real();
  std::string_view raw(size_t length);
  std::string_view text();
  [[nodiscard]] std::string_view rest() const noexcept { return in_; }
  /// A count of things that each take at least `least_bytes` of what is left; more is a corrupt
  /// chunk.
  size_t count(size_t least_bytes = 1);
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  void fail() noexcept { failed_ = true; }

 private:
  uint64_t long_varint();
  std::string_view in_;
  bool failed_ = false;
};

/// Eight bytes at a time: most texts of a chunk were seen before, and are hashed only to find that
/// out. Not part of the stored form.
struct TextHash {
  [[nodiscard]] size_t operator()(std::string_view text) const noexcept;
};

/// Texts of one chunk, each once. `add`'s views must stay alive until `write`.
class DictionaryWriter {
 public:
  uint32_t add(std::string_view text);
  void write(ColumnWriter& out) const;

 private:
  std::unordered_map<std::string_view, uint32_t, TextHash> indices_;
  std::vector<std::string_view> texts_;
};

class DictionaryReader {
 public:
  explicit DictionaryReader(ColumnReader& in);
  /// Reads an index from `in`; empty and `in.failed()` when it is out of range.
  [[nodiscard]] std::string_view read(ColumnReader& in) const;
  [[nodiscard]] std::string_view at(uint64_t index, ColumnReader& in) const;

 private:
  std::vector<std::string_view> texts_;
};

inline constexpr uint64_t kMaxChunkBytes = 256ULL * 1024 * 1024;  // unpacked

/// The stored form of finished columns.
[[nodiscard]] std::string seal_chunk(uint8_t version, std::string_view columns);
/// The error of a chunk whose columns are not what its kind has.
[[nodiscard]] net::Error corrupt_chunk(const char* kind);
/// Errors: corrupt (empty), unsupported.
[[nodiscard]] net::Result<void> check_version(uint8_t version, std::string_view stored);
/// The columns of a stored chunk. Errors: corrupt, unsupported (a newer version).
[[nodiscard]] net::Result<std::string> open_chunk(uint8_t version, std::string_view stored);

}  // namespace hms::collector
