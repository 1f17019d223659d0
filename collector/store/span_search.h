// span_search.h: finds the newest traces that fit, day by day from the last one: in the head first,
// then in the chunks whose summaries and filters do not rule them out, newest first.
//
// Each service has its summaries by time. A search without a service walks back through all of them
// together, so it reads no more of a day than it needs. Thread: one question's. Limits: those of
// SpanReader; a page of summaries a service in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "collector/store/chunk_filter.h"
#include "collector/store/span_reader.h"
#include "collector/store/span_summary.h"

namespace hms::collector {

class SpanSearch {
 public:
  SpanSearch(const SpanReader& reader, const TraceQuery& query,
             const std::function<bool()>& cancelled);
  [[nodiscard]] net::Result<std::vector<Trace>> run(SpanRoom& room);

 private:
  struct Found {
    uint64_t start = 0;
    telemetry::TraceId id;
  };
  struct Summary {
    uint64_t newest = 0;
    uint32_t chunk = 0;
  };
  /// The summaries of one service that may fit, newest first, a page at a time.
  struct Service {
    std::string begin, end;  // keys that are still to be read
    std::vector<Summary> page;
    size_t next = 0;
    [[nodiscard]] bool ended() const noexcept { return next == page.size() && begin == end; }
  };

  void found(uint64_t start, const telemetry::TraceId& id);
  [[nodiscard]] bool full_beyond(uint64_t newest);
  void look_into_head(Family day);
  [[nodiscard]] net::Result<void> look_into_chunks(Family day);
  [[nodiscard]] net::Result<std::vector<Service>> services_of(Family day) const;
  [[nodiscard]] net::Result<void> fill(Family day, Service& service);
  [[nodiscard]] net::Result<void> look_at_chunk(Family day, uint32_t number);
  [[nodiscard]] bool filter_allows(Family day, uint32_t chunk) const;

  const SpanReader& reader_;
  const TraceQuery& query_;
  const std::function<bool()>& cancelled_;
  const SummaryQuestion summaries_;
  FilterQuestion tags_;
  std::vector<Found> found_;
  std::unordered_set<telemetry::TraceId> seen_;
};

}  // namespace hms::collector
