// series_chunk.h: points of one series as bytes: blocks of up to 120 points, and the stored chunk
// of several blocks.
//
// A block holds one kind of point. Times: first one whole, then zigzag varints of the change of the
// step (delta of delta). Values:
//   integer    zigzag varints, change of the step too (a steady counter costs one byte)
//   real       XOR with the value before: a byte that says which bytes differ, then those
//   histogram  changes against the histogram before: count, sum, zero count, then (gap, change) of
//   each bucket that changed
// A stored chunk is: version u8, CRC-32C of the rest (4 bytes, little-endian), number of blocks,
// then for each block its kind, number of points, first and last time, length, bytes. Readers never
// trust what they read. Format: docs/storage-format.md. Thread: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_columns.h"
#include "collector/store/series_store.h"
#include "net/core/result.h"

namespace hms::collector {

inline constexpr size_t kMaxBlockPoints = 120;
inline constexpr size_t kMaxHistogramBuckets = 16'384;  // scale 8 over the range kept has 12,032

enum class BlockKind : uint8_t { integer = 1, real = 2, histogram = 3 };

/// Some points of one series, closed: never changes again.
struct Block {
  BlockKind kind = BlockKind::integer;
  uint32_t count = 0;
  int64_t first_millis = 0, last_millis = 0;
  std::string bytes;
};
using BlockPtr = std::shared_ptr<const Block>;

/// Whether a value survives the integer form (whole, within 2^53, not -0, not NaN).
[[nodiscard]] bool is_whole(double value) noexcept;

/// Makes a block, one point after the other, rising in time.
class BlockWriter {
 public:
  [[nodiscard]] bool empty() const noexcept { return block_.count == 0; }
  /// Whether the point may join (its kind fits, there is room, it is of the same UTC day);
  /// otherwise take() first.
  [[nodiscard]] bool accepts(int64_t t_millis, double value) const noexcept;
  [[nodiscard]] bool accepts(int64_t t_millis, const telemetry::Histogram& value) const noexcept;
  void add(int64_t t_millis, double value);
  void add(int64_t t_millis, const telemetry::Histogram& value);
  [[nodiscard]] Block take();
  /// A copy of what there is so far.
  [[nodiscard]] Block peek() const;
  [[nodiscard]] size_t bytes() const noexcept { return out_.size(); }

 private:
  [[nodiscard]] bool has_room(int64_t t_millis) const noexcept;
  void add_time(int64_t t_millis);
  Block block_;
  ColumnWriter out_;
  int64_t step_ = 0;
  int64_t integer_ = 0, integer_step_ = 0;
  uint64_t bits_ = 0;
  telemetry::Histogram histogram_;
};

/// Adds the points in (start, end] to the two lists. False: the bytes are not a block.
[[nodiscard]] bool read_block(const Block& block, int64_t start_millis, int64_t end_millis,
                              std::vector<Sample>& samples,
                              std::vector<HistogramSample>& histograms);

[[nodiscard]] std::string seal_blocks(const std::vector<BlockPtr>& blocks);
/// The blocks of a stored chunk that overlap (start, end]. Errors: corrupt, unsupported (a newer
/// version).
[[nodiscard]] net::Result<std::vector<Block>> open_blocks(std::string_view stored,
                                                          int64_t start_millis, int64_t end_millis);

/// The change from one histogram to another of the same scale.
void write_histogram_change(ColumnWriter& out, const telemetry::Histogram& now,
                            const telemetry::Histogram& before);
[[nodiscard]] bool read_histogram_change(ColumnReader& in, telemetry::Histogram& histogram);

[[nodiscard]] uint32_t crc32c(std::string_view bytes) noexcept;
/// version u8, CRC-32C of the rest, the rest.
[[nodiscard]] std::string checked_chunk(uint8_t version, std::string_view rest);
/// The rest of a stored chunk. Errors: corrupt, unsupported (another version).
[[nodiscard]] net::Result<std::string_view> open_checked_chunk(uint8_t version,
                                                               std::string_view stored);

using Buckets = std::vector<telemetry::Histogram::Bucket>;
/// Visits (index, change) of the buckets that differ, in rising order.
template <class Visit>
void for_each_bucket_change(const Buckets& now, const Buckets& before, const Visit& visit) {
  const auto wrapped = [](uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); };
  size_t n = 0;
  size_t b = 0;
  while (n < now.size() || b < before.size()) {
    if (b == before.size() || (n < now.size() && now[n].index < before[b].index)) {
      visit(now[n].index, wrapped(now[n].count, 0));
      ++n;
    } else if (n == now.size() || before[b].index < now[n].index) {
      visit(before[b].index, wrapped(0, before[b].count));
      ++b;
    } else {
      const int64_t change = wrapped(now[n].count, before[b].count);
      if (change != 0) visit(now[n].index, change);
      ++n;
      ++b;
    }
  }
}
/// `changes` rise in index; a count's change wraps. False: more buckets than there may be.
[[nodiscard]] bool apply_bucket_changes(const Buckets& changes, Buckets& buckets);

}  // namespace hms::collector
