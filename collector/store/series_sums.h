// series_sums.h: what a series' numbers come to in each interval, in place of the points.
//
// Sums, averages, counts, deviations and changes over windows that do not cut an interval come out
// of one row an interval as they would from its points. Rows are made while a question reads
// points, so that a long question holds rows and no points, and are stored beside the roll-ups of a
// past day. Histograms have no rows. Stale markers are no points. Readers never trust what they
// read. Format: docs/storage-format.md. Thread: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/series_store.h"
#include "net/core/result.h"

namespace hms::collector {

/// Of a day, one a minute, and the interval that ends with the day's first millisecond.
inline constexpr size_t kMaxDaySums = 24 * 60 + 1;
/// A row takes about 20 bytes on disk, a point about one: rows are stored where they stand for as
/// many points as this on average.
inline constexpr uint64_t kPointsWorthARow = 32;

/// A row for each interval that has numbers. `samples` rise in time.
void add_sums(std::span<const Sample> samples, const Thinning& intervals,
              std::vector<PointSums>& out);
/// The series' numbers become rows; rows rise in time.
void sum_up(Series& series, const Thinning& intervals);
/// Whether all of (start, end] lies in one interval.
[[nodiscard]] bool is_one_interval(const Thinning& intervals, int64_t start, int64_t end);

/// The stored form of a day's rows, at most kMaxDaySums.
[[nodiscard]] std::string pack_sums(const std::vector<PointSums>& rows);
/// Adds the rows whose last point is in (start, end]. Errors: corrupt, unsupported.
[[nodiscard]] net::Result<void> unpack_sums(std::string_view stored, int64_t start, int64_t end,
                                            std::vector<PointSums>& out);

}  // namespace hms::collector
