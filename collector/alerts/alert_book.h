// alert_book.h: every alert that fires, or whose end somebody must still be told, with who was told
// what; durable.
//
// The order that makes pages neither double nor vanish across a kill -9: a change of state is
// stored before anyone is told of it, and what was told is stored after it was acknowledged. A
// crash in between tells again with the same fingerprint and start, which receivers join. Pending
// alerts are not stored: after a restart `for` begins anew. Limit: 10,000 alerts (beyond: refused
// and counted). Thread: the loop's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "collector/alerts/alert.h"
#include "collector/live/durable_table.h"

namespace hms::collector {

struct Told {
  bool attempted = false;  // a request may have arrived
  bool firing = false;
  bool resolved = false;
  int64_t at = 0;          // Unix milliseconds of the last success
  bool in_flight = false;  // not stored
};

struct AlertRecord {
  Alert alert;
  std::map<std::string, Told> told;  // by notifier
  bool durable = false;              // this state is stored; before, nobody is told
  uint64_t version = 0;
};

class AlertBook {
 public:
  static constexpr size_t kMaxRecords = 10'000;

  explicit AlertBook(std::unique_ptr<DurableTable> table);
  /// Called when a record became durable: there may be something to tell.
  void on_durable(std::function<void()> callback) { on_durable_ = std::move(callback); }

  /// The alert fires (again), or is resolved. False when the book is full.
  bool set(const Alert& alert);
  /// Stores `told` of a record; nobody waits for it.
  void store_told(const std::string& key);
  void remove(const std::string& key);
  [[nodiscard]] std::map<std::string, AlertRecord>& records() noexcept { return records_; }
  [[nodiscard]] const std::map<std::string, AlertRecord>& records() const noexcept {
    return records_;
  }
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; }

 private:
  void store(const std::string& key, AlertRecord& record, bool wait);
  std::unique_ptr<DurableTable> table_;
  std::function<void()> on_durable_;
  std::map<std::string, AlertRecord> records_;
  uint64_t next_version_ = 1;
  uint64_t refused_ = 0;
};

}  // namespace hms::collector
