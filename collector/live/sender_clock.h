// sender_clock.h: which second each sender that reports by the second has finished, so that
// everybody knows when a second is complete.
//
// Limit: 10,000 senders (further ones are not waited for). Thread: the window's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "collector/live/window.h"
#include "telemetry/model.h"

namespace hms::collector {

class SenderClock {
 public:
  void note(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
            int64_t now_seconds);
  /// As LiveWindow::completeness.
  [[nodiscard]] LiveWindow::Completeness completeness(int64_t second, int64_t now_seconds) const;
  void forget(int64_t now_seconds);

 private:
  struct Sender {
    int64_t newest = 0;  // the last second it has finished
    int64_t seen = 0;
  };
  std::map<std::string, Sender, std::less<>> senders_;
};

}  // namespace hms::collector
