// parallel.cc: see parallel.h.
#include "collector/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

namespace hms::collector {
namespace {

/// Work that several threads take from. Helpers hold a share of it; `work` itself belongs to the
/// caller, who leaves only when no helper is in it.
class SharedWork {
 public:
  SharedWork(size_t count, const std::function<void(size_t)>& work) : count_(count), work_(work) {}

  void help() {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      ++inside_;
    }
    take();
    const std::lock_guard lock(mutex_);
    --inside_;
    left_.notify_one();
  }

  void work_and_wait() {
    take();
    std::unique_lock lock(mutex_);
    closed_ = true;
    left_.wait(lock, [this] { return inside_ == 0; });
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  void take() {
    try {
      for (size_t i = next_.fetch_add(1, std::memory_order_relaxed); i < count_;
           i = next_.fetch_add(1, std::memory_order_relaxed))
        work_(i);
    } catch (...) {
      next_.store(count_, std::memory_order_relaxed);
      const std::lock_guard lock(mutex_);
      if (!thrown_) thrown_ = std::current_exception();
    }
  }

  const size_t count_;
  const std::function<void(size_t)>& work_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable left_;
  size_t inside_ = 0;          // mutex_: helpers at work
  bool closed_ = false;        // mutex_
  std::exception_ptr thrown_;  // mutex_
};

}  // namespace

ParallelFor make_parallel_for(Executor& executor, size_t helpers) {
  return [&executor, helpers](size_t count, const std::function<void(size_t)>& work) {
    const auto shared = std::make_shared<SharedWork>(count, work);
    for (size_t i = 1; i < std::min(count, helpers + 1); ++i) {
      if (!executor.try_run([shared] { shared->help(); })) break;
    }
    shared->work_and_wait();
  };
}

void for_each_index(const ParallelFor& parallel, size_t count,
                    const std::function<void(size_t)>& work) {
  if (parallel && count > 1) return parallel(count, work);
  for (size_t i = 0; i < count; ++i) work(i);
}

}  // namespace hms::collector
