// lake_edges.cc: the service map of the lake's days: whole hours from the rows by the hour, what is
// left at both ends from the rows by slot.
#include <algorithm>

#include "collector/lake/lake_questions.h"
#include "collector/lake/lake_scan.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
namespace at = edge_column;

/// A range of Unix nanoseconds, without its end.
struct Part {
  LakeTable table;
  uint64_t begin, end;
};

std::vector<Part> parts_of(uint64_t start, uint64_t end) {
  const uint64_t first_hour =
      (start + net::kNanosPerHour - 1) / net::kNanosPerHour * net::kNanosPerHour;
  const uint64_t last_hour = end / net::kNanosPerHour * net::kNanosPerHour;
  if (first_hour >= last_hour) return {{LakeTable::edges, start, end}};
  std::vector<Part> parts{{LakeTable::edge_hours, first_hour, last_hour}};
  if (start < first_hour) parts.push_back({LakeTable::edges, start, first_hour});
  if (last_hour < end) parts.push_back({LakeTable::edges, last_hour, end});
  return parts;
}

class MapReader {
 public:
  MapReader(const Lake& lake, const std::function<bool()>& cancelled, EdgeSum& sum,
            LakeWarnings& warnings)
      : lake_(lake), cancelled_(cancelled), sum_(sum), warnings_(warnings) {}

  /// False: it has looked at as many rows as it may. Errors: canceled, and the lake's.
  Result<bool> read(const LakeManifest& manifest, const Part& part) {
    // The slot that holds the beginning may have begun before it.
    const uint64_t reach = part.table == LakeTable::edges ? kSlotNanos - 1 : 0;
    const auto from =
        static_cast<int64_t>((part.begin - std::min(part.begin, reach)) / net::kNanosPerMilli);
    const auto to = static_cast<int64_t>((part.end - 1) / net::kNanosPerMilli);
    auto groups = groups_of(lake_, manifest, part.table, from, to, {});
    if (!groups.ok()) return std::move(groups).error();
    for (const LakeGroup& group : groups.value()) {
      if (cancelled_ && cancelled_())
        return Error{Code::canceled, net::Side::downstream, false, "canceled"};
      const auto rows = static_cast<size_t>(group.meta().rows);
      if ((looked_at_ += rows) > kMaxRowsLookedAt) {
        warnings_.add("the map ended after " + std::to_string(kMaxRowsLookedAt) +
                      " rows of the lake; calls of some days are missing: ask a shorter time");
        return false;
      }
      if (auto added = add(group, part, from, to); !added.ok()) return std::move(added).error();
    }
    return true;
  }

 private:
  Result<void> add(const LakeGroup& group, const Part& part, int64_t from, int64_t to) {
    auto times = group.file->read(group.index, at::time);
    if (!times.ok()) return std::move(times).error();
    // Rows lie by time.
    const std::vector<int64_t>& all = times->integers;
    const auto first = std::lower_bound(all.begin(), all.end(), from);
    const auto last = std::upper_bound(first, all.end(), to);
    if (first == last) return {};
    auto rows = read_rows(group, static_cast<size_t>(first - all.begin()),
                          static_cast<size_t>(last - all.begin()));
    if (!rows.ok()) return std::move(rows).error();
    for (size_t i = 0; i < rows->size; ++i) {
      const LakeEdge edge = edge_of(rows->columns, i);
      if (part.table == LakeTable::edge_hours) {
        sum_.add_whole(edge.names, static_cast<double>(edge.totals.requests),
                       static_cast<double>(edge.totals.errors), edge.totals.duration);
      } else {
        add_slot(edge, part);
      }
    }
    return {};
  }

  void add_slot(const LakeEdge& edge, const Part& part) {
    // What a lying file says is a slot may be no number of one.
    const int64_t slot = edge.begin_millis / (int64_t{kSecondsPerSlot} * 1'000);
    if (slot < 0 || slot > UINT32_MAX) return;
    const uint64_t begin = static_cast<uint64_t>(slot) * kSlotNanos;
    if (begin + kSlotNanos <= part.begin || begin >= part.end) return;
    sum_.add(static_cast<uint32_t>(slot), edge.names, edge.totals);
  }

  const Lake& lake_;
  const std::function<bool()>& cancelled_;
  EdgeSum& sum_;
  LakeWarnings& warnings_;
  uint64_t looked_at_ = 0;
};

}  // namespace

Result<void> lake_edges(const Lake& lake, uint64_t start_unix_nanos, uint64_t end_unix_nanos,
                        const std::function<bool()>& cancelled, EdgeSum& sum,
                        LakeWarnings& warnings) {
  const uint64_t end = std::min<uint64_t>(end_unix_nanos, INT64_MAX);
  if (start_unix_nanos >= end) return {};
  const std::vector<Part> parts = parts_of(start_unix_nanos, end);
  MapReader reader(lake, cancelled, sum, warnings);
  for (const uint32_t day : lake.days()) {
    if (day < start_unix_nanos / net::kNanosPerDay)
      continue;  // later days may have calls that came late
    const bool touches = day_touches(day, start_unix_nanos, end - 1);
    auto manifest = lake.manifest(day);
    if (!manifest.ok()) {
      if (touches) warnings.add(day, manifest.error());
      continue;
    }
    if (!manifest.value()->has_map) {
      if (touches && manifest.value()->table(LakeTable::spans).totals.rows > 0)
        warnings.add("day " + day_text(day) +
                     " went to the lake before the service map was kept there: its calls are "
                     "missing here");
      continue;
    }
    for (const Part& part : parts) {
      auto read = reader.read(*manifest.value(), part);
      if (!read.ok()) {
        if (read.error().code == Code::canceled) return std::move(read).error();
        warnings.add(day, read.error());
        break;
      }
      if (!read.value()) return {};
    }
  }
  return {};
}

}  // namespace hms::collector
