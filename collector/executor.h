// executor.h: a few threads for work that must not stall the loop: decoding bodies, queries.
// Bounded queue: beyond it `try_run` says no and the caller answers 503. What a task throws is
// logged, and the thread goes on.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace hms::collector {

class Executor {
 public:
  virtual ~Executor() = default;
  /// Runs `task` on one of the threads. False when the queue is full. Any thread.
  [[nodiscard]] virtual bool try_run(std::function<void()> task) = 0;
  /// Ends after what is queued has run.
  virtual void close() = 0;
};
[[nodiscard]] std::unique_ptr<Executor> make_executor(size_t threads, size_t max_queued);

}  // namespace hms::collector
