// series_log.h: one group's points as one value of the log: what heads are rebuilt from after a
// restart.
//
// A record: series number, time against the first record's, kind (1 whole number, 2 real, 3
// histogram, 4 histogram as a change against the series' histogram before it in the log), value.
// All of it compressed (seal_chunk). Format: docs/storage-format.md. Thread: values.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "collector/store/series_head.h"
#include "net/core/result.h"

namespace hms::collector {

class SeriesLogWriter {
 public:
  void add(uint32_t series, int64_t t_millis, double value);
  /// `before`: the histogram that a reader has for this series; null if it may have none.
  void add(uint32_t series, int64_t t_millis, const telemetry::Histogram& value,
           const telemetry::Histogram* before);
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// The stored form; begins anew.
  [[nodiscard]] std::string finish();

 private:
  void head(uint32_t series, int64_t t_millis, uint8_t kind);
  ColumnWriter out_;
  uint64_t count_ = 0;
  int64_t base_millis_ = 0;
};

struct SeriesLogReader {
  std::function<HistogramPtr(uint32_t series)>
      before;  // the last histogram handed to `point` for the series
  std::function<void(uint32_t series, SeriesPoint point)> point;
};
/// Errors: corrupt, unsupported. Points before the fault have been handed out.
[[nodiscard]] net::Result<void> read_series_log(std::string_view stored,
                                                const SeriesLogReader& reader);

}  // namespace hms::collector
