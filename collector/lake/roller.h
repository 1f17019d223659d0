// roller.h: takes days from the hot store to the lake, one at a time, so that any step may be
// killed and is taken up again.
//
//   seal (nothing more is written into the day) -> write files (here) -> send them -> read them
//   back and compare -> manifest, last -> record in the hot store that the lake has the day ->
//   drop it.
// Names are the same at every attempt, so a roll that starts over replaces what was left. A day
// with a manifest is compared with it again and not written a second time. Nothing is dropped that
// was not verified. Thread: one of its own at low priority; `roll` from one thread at a time; the
// rest from any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "collector/lake/lake.h"
#include "collector/store/engine.h"
#include "collector/store/retention.h"
#include "collector/store/series_store.h"
#include "net/core/clock.h"

namespace hms::collector {

struct RollerOptions {
  std::string staging_folder;  // made and emptied by the roller
  uint32_t retention_days = 30;
  uint32_t minute_of_day = 150;  // UTC, when it looks for days past the retention
  uint64_t min_free_bytes = 0;   // below: the oldest whole day goes to the lake, whatever its age
  net::Clock clock;
  std::chrono::milliseconds look_every{10'000};  // at the clock and the free room
  Retention retention = {};  // shorter bounds: what they drop is gone before a day is rolled
};

struct RollerStatus {
  std::optional<uint32_t> rolling;
  std::string step;  // of the day being rolled
  std::optional<uint32_t> last_day;
  std::string last_error;  // empty: it went well
  std::set<uint32_t> waiting;
  uint64_t rolled = 0, failed = 0, rolled_for_room = 0;
};

class Roller {
 public:
  /// All must outlive the roller. `series`: the hot store's.
  Roller(StorageEngine& engine, const SeriesSource& series, Lake& lake, RollerOptions options);
  ~Roller();
  Roller(const Roller&) = delete;
  Roller& operator=(const Roller&) = delete;

  /// Days that the hot store knows to be in the lake are published. Before questions.
  void publish_known_days();
  /// Rolls one day now, on the caller's thread. Errors: bad_message (it has not ended), not_found
  /// (nothing of it), unavailable (try later, or the lake is away), already_exists (another
  /// collector's), corrupt (the lake does not give back what it was sent), no_space, io.
  [[nodiscard]] net::Result<ManifestPtr> roll(uint32_t day);

  /// Starts the thread: at once for what is overdue, then every day at `minute_of_day`.
  void start();
  /// Asks the thread for a day.
  void request(uint32_t day);
  [[nodiscard]] RollerStatus status() const;
  /// Stops between two rows at most; what was begun is taken up at the next start.
  void stop();

 private:
  net::Result<ManifestPtr> roll_open_day(uint32_t day);
  net::Result<void> check(Family day) const;
  net::Result<LakeManifest> found_in_lake(uint32_t day, const std::string& store) const;
  net::Result<void> seal(Family day);
  net::Result<LakeManifest> write(Family day);
  net::Result<void> send(const LakeManifest& manifest);
  net::Result<void> retire(Family day, ManifestPtr manifest);
  net::Result<std::string> store_id();
  void set_step(std::string step);
  void run();
  void roll_waiting();
  std::set<uint32_t> overdue() const;
  std::optional<uint32_t> day_for_room() const;
  uint32_t today() const;
  uint64_t next_night() const;
  bool stopping() const;

  StorageEngine& engine_;
  const SeriesSource& series_;
  Lake& lake_;
  const RollerOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  RollerStatus status_;    // mutex_
  bool stopping_ = false;  // mutex_
  std::thread thread_;
};

}  // namespace hms::collector
