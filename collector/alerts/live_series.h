// live_series.h: the last two minutes of HTTP durations as PromQL reads them, from the batches
// themselves: what rules are evaluated on.
//
// The store's series have a sample only when something came, and begin with their first value:
// rate() over a few seconds then misses the first second of a new status code, which is the one
// that matters. Here every series has one sample a second (at its end), also when nothing came, and
// begins with a sample before its first request. So increase(x[6s]) at a second's end is what
// happened in the five seconds before (times 6/5: PromQL extrapolates). A range of more than 24 s
// has a sample every few seconds instead, its first and its last always: increase() and rate() of
// it are the same. Questions that reach further back than that, or ask for other metrics, go to the
// store.
// Limits: 10,000 series (beyond: all questions go to the store until there are fewer), 130 s.
// Thread: add on the loop, select from any.
#pragma once

#include <cstdint>
#include <memory>

#include "collector/store/series_store.h"
#include "net/core/clock.h"

namespace hms::collector {

class LiveSeries : public SeriesSource {
 public:
  virtual void add(const AcceptedBatch& batch) = 0;
  [[nodiscard]] virtual size_t series_count() const = 0;
};

/// `store` must outlive it; nullptr: none (then other questions find nothing).
[[nodiscard]] std::unique_ptr<LiveSeries> make_live_series(const SeriesSource* store,
                                                           net::Clock clock = {});

}  // namespace hms::collector
