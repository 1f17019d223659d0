// span_edge_rows.h: what the service map keeps of one node or edge in one slot of ten seconds, its
// stored form, and adding such rows up over a range of time.
//
//   service_edge 0x40 | slot u32 (Unix seconds / 10) | from | 0x00 | to  -> requests, errors,
//   duration histogram, requests and errors of each second   (from empty: the node)
// Format: docs/storage-format.md. Thread: values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/kv.h"
#include "telemetry/histogram.h"

namespace hms::collector {

inline constexpr uint32_t kSecondsPerSlot = 10;
inline constexpr uint64_t kSlotNanos = kSecondsPerSlot * 1'000'000'000ULL;

using EdgeNames = std::pair<std::string, std::string>;  // from, to

struct EdgeTotals {
  uint64_t requests = 0, errors = 0;
  telemetry::Histogram duration;
  std::array<uint32_t, kSecondsPerSlot> requests_of{}, errors_of{};  // by second

  /// False: written before seconds were kept; the slot counts as even.
  [[nodiscard]] bool by_second() const;
};

struct EdgeRow {
  uint32_t slot = 0;
  EdgeNames names;
  EdgeTotals totals;
};

[[nodiscard]] std::string edge_key(uint32_t slot, const EdgeNames& names);
[[nodiscard]] std::string encode_edge(const EdgeTotals& totals);
[[nodiscard]] bool decode_edge(std::string_view value, EdgeTotals& totals);
/// Nothing if it is not a row of the map.
[[nodiscard]] std::optional<EdgeRow> parse_edge_row(std::string_view key, std::string_view value);
/// The day's rows of slots [first, last], rising. What cannot be read is left out.
[[nodiscard]] net::Result<void> each_edge_row(const KvReader& reader, Family day, uint32_t first,
                                              uint32_t last,
                                              const std::function<void(EdgeRow)>& visit);

/// A node or an edge over a range of time.
struct ServiceEdge {
  std::string from;  // empty: `to` is a node
  std::string to;
  double requests = 0, errors = 0;  // a second of which the range holds a part counts by that part
  telemetry::Histogram duration;    // seconds; of all slots with a call in the range
};

/// Adds rows up over [start, end).
class EdgeSum {
 public:
  EdgeSum(uint64_t start_unix_nanos, uint64_t end_unix_nanos)
      : start_(start_unix_nanos), end_(end_unix_nanos) {}
  /// The part of a slot's row that lies in the range.
  void add(uint32_t slot, const EdgeNames& names, const EdgeTotals& totals);
  /// All of it: the caller knows that it lies in the range.
  void add_whole(const EdgeNames& names, double requests, double errors,
                 const telemetry::Histogram& duration);
  /// Sorted by names. Once.
  [[nodiscard]] std::vector<ServiceEdge> take();

 private:
  const uint64_t start_, end_;
  std::map<EdgeNames, ServiceEdge> sum_;
};

}  // namespace hms::collector
