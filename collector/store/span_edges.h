// span_edges.h: the service map, kept up to date with each span instead of computed per question:
// who calls whom, how often, how well.
//
// A SERVER (or CONSUMER) span counts for its service (a node) and, once its parent's service is
// known, for the edge between the two; parent and child may come in either order, up to 60 s apart.
// Slots of 10 s (span_edge_rows.h): in memory for two hours, and on disk in the day families. A
// call counts in the second in which it ended; durations are known by slot. Later calls are added
// to what is on disk, those of a day that is on its way to the lake are kept with the day they came
// on. Derived data: a crash may lose the last second's counts (the spans themselves are not lost).
// Limits: 5,000 nodes and edges a slot, 20,000 rows of closed slots a second, 200,000 calls that
// wait for their caller (beyond: not kept, counted in CallsLeftOut); 262,144 spans remembered for
// their children, 20,000 names of services (beyond, all of these are forgotten). Thread:
// SignalStore calls on the commit thread, `totals` and `left_out` from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collector/store/signal_store.h"
#include "collector/store/span_edge_rows.h"

namespace hms::collector {

struct ServiceMap {
  std::vector<ServiceEdge> edges;     // nodes and edges with a call in the range, sorted by names
  std::vector<std::string> warnings;  // what is missing, a sentence each
};

/// Calls that are not in the map, by the limit that they crossed, since the start.
struct CallsLeftOut {
  uint64_t rows = 0;        // of a slot
  uint64_t late_rows = 0;   // of closed slots, a second
  uint64_t waiting = 0;     // for their caller: the node has them, the edge has not
  uint64_t unreadable = 0;  // what the disk has of their row could not be read
};

class ServiceEdgeStore : public SignalStore {
 public:
  /// Nodes and edges with a call in [start, end). Errors: those of reading; canceled.
  [[nodiscard]] virtual net::Result<ServiceMap> totals(
      uint64_t start_unix_nanos, uint64_t end_unix_nanos,
      const std::function<bool()>& cancelled = {}) const = 0;
  [[nodiscard]] virtual CallsLeftOut left_out() const { return {}; }
};
[[nodiscard]] std::unique_ptr<ServiceEdgeStore> make_service_edge_store();

}  // namespace hms::collector
