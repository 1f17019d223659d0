// delivery.h: tells the notifiers what they have not been told yet.
//
// There is no queue of messages: what is due is read from the alert book each time, so that a
// notifier that comes back after an hour hears of what is so now, and memory is bounded by the
// alerts there are. Each notifier has at most 4 requests under way, each with at most 64 alerts of
// one name. Retries: a lost connection, a timeout (10 s), 408, 429 and 5xx, after 1 s, 2 s, ... 60
// s (with jitter, or Retry-After up to 5 min). Other statuses are final: logged, counted, not sent
// again. An end that nobody took for an hour is given up. Thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collector/alerts/alert_book.h"
#include "collector/alerts/notifier.h"
#include "collector/alerts/silences.h"
#include "net/io/loop.h"

namespace hms::collector {

struct NotifierStats {
  std::string name, type;
  uint64_t sent = 0;     // requests taken
  uint64_t retries = 0;  // requests that failed and are tried again
  uint64_t refused = 0;  // answered with a status that is final
  uint64_t given_up = 0;
};

class Delivery {
 public:
  /// `book` and `silences` must outlive it.
  Delivery(net::Loop& loop, AlertBook& book, const Silences& silences, net::Clock clock,
           std::string external_url);
  ~Delivery();
  void set_notifiers(std::vector<NotifierConfig> configs);
  /// Sends what is due. Called when something changed, and every 100 ms by its own timer.
  void turn();
  [[nodiscard]] std::vector<NotifierStats> stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::collector
