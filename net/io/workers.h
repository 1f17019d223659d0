// workers.h: threads that each run their own Loop. Nothing is shared between them but what is
// posted by value.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/io/loop.h"

namespace hms::net {

class Worker {
 public:
  explicit Worker(std::string name);  // thread name, at most 15 bytes
  /// Stops the loop and joins.
  ~Worker();
  [[nodiscard]] Loop& loop() noexcept;
  /// Runs `task` on the worker's loop and waits for it. Never from the worker's own thread.
  void call(std::function<void()> task);
  void stop_and_join();
  /// From now on the loop goes on polling for that long after each event before it sleeps: a
  /// wake-up less when the next one is near, a busy core when it is not. 0: sleep at once. On the
  /// worker's thread.
  void keep_polling(std::chrono::microseconds after_an_event) noexcept;

 private:
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

/// The calling thread does what can wait: in a contest for a core, threads that serve requests win.
void yield_to_workers() noexcept;

}  // namespace hms::net
