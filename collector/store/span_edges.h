// span_edges.h: the service map, kept up to date with each span instead of computed per question:
// who calls whom, how often, how well.
//
// A SERVER (or CONSUMER) span counts for its service (a node) and, once its parent's service is
// known, for the edge between the two; parent and child may come in either order, up to 60 s apart.
// Slots of 10 s (span_edge_rows.h): in memory for two hours, and on disk in the day families. A
// call counts in the second in which it ended; durations are known by slot. Later calls are added
// to what is on disk, those of a day that is on its way to the lake are kept with the day they came
// on. Derived data: a crash may lose the last second's counts (the spans themselves are not lost).
// Limits: 5,000 nodes and edges a slot (beyond: not kept), 20,000 rows of closed slots a second
// (likewise), 262,144 spans remembered for their children, 200,000 calls that wait for their
// caller, 20,000 names of services (beyond, all of these are forgotten). Thread: SignalStore calls
// on the commit thread, `totals` from any.
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

class ServiceEdgeStore : public SignalStore {
 public:
  /// Nodes and edges with a call in [start, end). Errors: those of reading; canceled.
  [[nodiscard]] virtual net::Result<ServiceMap> totals(
      uint64_t start_unix_nanos, uint64_t end_unix_nanos,
      const std::function<bool()>& cancelled = {}) const = 0;
};
[[nodiscard]] std::unique_ptr<ServiceEdgeStore> make_service_edge_store();

}  // namespace hms::collector
