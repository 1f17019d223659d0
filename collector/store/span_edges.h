// span_edges.h: the service map, kept up to date with each span instead of computed per question:
// who calls whom, how often, how well.
//
// A SERVER (or CONSUMER) span counts for its service (a node) and, once its parent's service is
// known, for the edge between the two; parent and child may come in either order, up to 60 s apart.
// Slots of 10 s: in memory for two hours, and on disk in the day families:
//   service_edge 0x40 | slot u32 (Unix seconds / 10) | from | 0x00 | to  -> requests, errors,
//   duration histogram, requests and errors of each second   (from empty: the node)
// A call counts in the second in which it ended; durations are known by slot.
// Derived data: a crash may lose the last second's counts (the spans themselves are not lost).
// Limits: 5,000 nodes and edges a slot (beyond: not kept), 262,144 spans remembered for their
// children, 200,000 calls that wait for their caller, 20,000 names of services (beyond, all of
// these are forgotten). Thread: SignalStore calls on the commit thread, `totals` from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collector/store/signal_store.h"
#include "telemetry/histogram.h"

namespace hms::collector {

struct ServiceEdge {
  std::string from;  // empty: `to` is a node
  std::string to;
  double requests = 0, errors = 0;  // a second of which the range holds a part counts by that part
  telemetry::Histogram duration;    // seconds; of all slots with a call in the range
};

class ServiceEdgeStore : public SignalStore {
 public:
  /// Nodes and edges with a call in [start, end).
  [[nodiscard]] virtual net::Result<std::vector<ServiceEdge>> totals(
      uint64_t start_unix_nanos, uint64_t end_unix_nanos) const = 0;
};
[[nodiscard]] std::unique_ptr<ServiceEdgeStore> make_service_edge_store();

}  // namespace hms::collector
