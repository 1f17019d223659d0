// span_summary.h: what one service did in one chunk, operation by operation: enough to refuse most
// chunks of a search without opening them (docs/storage-format.md, "trace_summary").
//
// Bounds, not spans: about sixteen bytes an operation and chunk. An entry per span would cost more
// than all its attributes, and which spans fit is seen at once in the chunk's columns. Of the
// attributes there is one bit of 64 for each value that some span has, so that a rare value (a
// status 500) is looked for only where it may be; a key with many values has one bit for all.
// Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_columns.h"
#include "collector/store/span_store.h"

namespace hms::collector {

/// The spans of one service and operation in one chunk.
struct OperationBounds {
  std::string_view name;
  uint64_t oldest_start = UINT64_MAX, newest_start = 0;
  uint64_t longest_nanos = 0;
  bool some_failed = false, some_not_failed = false;
  uint64_t attributes = 0;  // attribute_bit of each value, or key_bit
};

inline constexpr size_t kFewValues = 64;  // of a key in one chunk: each has a bit of its own

/// Of an attribute's value as text.
[[nodiscard]] uint64_t attribute_bit(std::string_view key, std::string_view value) noexcept;
/// In place of it, for a key that has more than kFewValues in the chunk.
[[nodiscard]] uint64_t key_bit(std::string_view key) noexcept;

/// `newest_start` of them all.
[[nodiscard]] std::string encode_summary(const std::vector<OperationBounds>& operations,
                                         uint64_t newest_start);
/// What is asked of the summaries, worked out once for all of them.
class SummaryQuestion {
 public:
  /// `query` must outlive it.
  explicit SummaryQuestion(const TraceQuery& query);
  /// Whether a span of this service in this chunk may fit. Reads versions 1 and 2, too.
  [[nodiscard]] bool may_fit(std::string_view value, uint64_t newest_start) const;

 private:
  struct Tag {
    uint64_t value, key;  // bits: one of them is there
  };
  [[nodiscard]] bool may_fit_1(ColumnReader& in, uint64_t newest_start) const;
  [[nodiscard]] bool may_fit_bounds(ColumnReader& in, uint64_t newest_start, bool with_bits) const;

  const TraceQuery& query_;
  const uint32_t operation_;
  std::vector<Tag> tags_;
};

}  // namespace hms::collector
