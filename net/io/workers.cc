#include "net/io/workers.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "net/core/check.h"
#include "net/io/loop_impl.h"

namespace hms::net {

Worker::Worker(std::string name)
    : loop_(std::make_unique<Loop>()), thread_([loop = loop_.get(), name = std::move(name)] {
        constexpr size_t kLongestName = 15;  // the kernel's limit
        pthread_setname_np(pthread_self(), name.substr(0, kLongestName).c_str());
        loop->run();
      }) {}

Worker::~Worker() { stop_and_join(); }

Loop& Worker::loop() noexcept { return *loop_; }

void Worker::call(std::function<void()> task) {
  HMS_ENSURE(thread_.joinable() && thread_.get_id() != std::this_thread::get_id());
  std::mutex mutex;
  std::condition_variable finished;
  bool done = false;
  loop_->post([&] {
    task();
    // Notified under the lock: the waiter's stack may be gone right after it.
    const std::lock_guard lock(mutex);
    done = true;
    finished.notify_one();
  });
  std::unique_lock lock(mutex);
  finished.wait(lock, [&] { return done; });
}

void Worker::stop_and_join() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

void Worker::keep_polling(std::chrono::microseconds after_an_event) noexcept {
  loop_->impl().spin_nanos = static_cast<uint64_t>(after_an_event.count()) * 1'000;
}

void yield_to_workers() noexcept {
  // Without the right to either nothing is lost but the order.
  constexpr sched_param kNoPriority{};
  constexpr int kNicer = 5;
  sched_setscheduler(0, SCHED_BATCH, &kNoPriority);
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNicer);
}

}  // namespace hms::net
