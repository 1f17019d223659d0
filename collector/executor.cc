// executor.cc: threads around one bounded queue.
#include "collector/executor.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "net/core/log.h"

namespace hms::collector {
namespace {

class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor(size_t threads, size_t max_queued) : max_queued_(max_queued) {
    threads_.reserve(threads);
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~ThreadExecutor() override { close(); }

  bool try_run(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || queue_.size() >= max_queued_) return false;
      queue_.push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
        if (queue_.empty()) return;
        task = std::move(queue_.front());
        queue_.pop_front();
      }
      // Tasks answer for what their libraries throw; what they forgot must not end the program.
      try {
        task();
      } catch (const std::exception& thrown) {
        net::log_error("a task failed", {{"error", thrown.what()}});
      }
    }
  }

  const size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // mutex_
  bool closed_ = false;                      // mutex_
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Executor> make_executor(size_t threads, size_t max_queued) {
  return std::make_unique<ThreadExecutor>(threads, max_queued);
}

}  // namespace hms::collector
