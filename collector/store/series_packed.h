// series_packed.h: many points of one series as few bytes: the chunk of a day that is past.
//
// Runs of up to 1,024 points of one kind. The numbers of a run (times, values, counts of buckets)
// are put side by side by what they mean, as differences of the first or second order (whichever
// spans less), and those as planes of bytes; zstd then finds what repeats. Reals that are decimal
// fractions become whole numbers. Counts of histograms are changes to the histogram before.
// Version 2 of a stored chunk; version 1 (series_chunk.h) is what recent points are stored as.
// Readers never trust what they read. Format: docs/storage-format.md. Thread: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_columns.h"
#include "collector/store/series_store.h"
#include "net/core/result.h"

namespace hms::collector {

inline constexpr uint8_t kPackedVersion = 2;
inline constexpr size_t kMaxRunPoints = 1024;

/// Points in rising order of time; a time has a number or a histogram, not both.
struct PointColumns {
  std::vector<Sample> samples;
  std::vector<HistogramSample> histograms;
};

/// Takes points, rising in time from call to call, and gives stored forms, one after the other in
/// time, each of about 128 KiB before compression: a question about a quarter of an hour need not
/// read a day of histograms.
class PointPacker {
 public:
  void add(const PointColumns& points);
  /// All parts; begins anew.
  [[nodiscard]] std::vector<std::string> take();
  [[nodiscard]] uint64_t points() const noexcept { return points_; }  // since it was made

 private:
  template <class Point>
  void add_run(std::span<const Point> run);
  void finish_part();
  std::vector<std::string> parts_;
  ColumnWriter columns_;
  uint64_t runs_ = 0, points_ = 0;
  int64_t first_ = 0, last_ = 0;
};

/// The points in (start, end]; of histograms only those that `thinning` wants.
struct PointRange {
  int64_t start_millis = INT64_MIN, end_millis = INT64_MAX;
  Thinning thinning;
};
/// Adds points of a stored chunk to the two lists. Errors: corrupt, unsupported.
[[nodiscard]] net::Result<void> unpack_points(std::string_view stored, const PointRange& range,
                                              std::vector<Sample>& samples,
                                              std::vector<HistogramSample>& histograms);

}  // namespace hms::collector
