// loop_impl.h: the inside of a Loop, for the other files of net/io only.
//
// A turn is: timers, then `prepare` (deferred work, retired objects), then poll with its callbacks,
// then `check` (the same again), then closings. So what is deferred or retired anywhere is dealt
// with before the loop sleeps. Small writes of the poll's callbacks are sent when all have run.
#pragma once

#include <uv.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/io/loop.h"
#include "net/io/timer_wheel.h"
#include "net/io/write_burst.h"
#include "net/io/write_queue.h"

namespace hms::net {

/// A node of an intrusive ring; in none when both are null.
struct DeferredLink {
  DeferredLink* previous = nullptr;
  DeferredLink* next = nullptr;
};

/// Work for later in the turn, embedded in its owner; it leaves the list when its owner is
/// destroyed.
class Deferred : private DeferredLink {
 public:
  virtual ~Deferred() { cancel(); }
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;

  /// Nothing happens if it is waiting already.
  void defer(Loop& loop) noexcept;
  void cancel() noexcept;

 protected:
  Deferred() = default;

 private:
  friend struct DeferredList;
  virtual void run_deferred() = 0;
};

struct DeferredList {
  DeferredLink ring{&ring, &ring};
  DeferredList() = default;
  DeferredList(const DeferredList&) = delete;
  DeferredList& operator=(const DeferredList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return ring.next == &ring; }
  void append(Deferred& item) noexcept;
  /// Runs what is waiting now; what is added meanwhile waits for the next call.
  void run_present();
};

struct Loop::Impl final : private TimerWheel::Driver, private Deferred {
  explicit Impl(Loop& owner);
  ~Impl() override;

  /// The implementation of a libuv loop that is one of ours.
  static Impl& of(const uv_handle_t* handle) noexcept {
    return *static_cast<Impl*>(handle->loop->data);
  }

  void run_posted();
  void end_of_phase();
  void close_all();
  /// An event came: with `keep_polling` the loop does not sleep for a while.
  void stay_awake() {
    if (spin_nanos != 0) spin();
  }
  void spin();

  // TimerWheel::Driver
  [[nodiscard]] uint64_t now_millis() const noexcept override { return uv_now(&uv); }
  void wake_at(uint64_t at_millis) override;
  void wake_soon() override;
  void sleep() override;
  // Deferred: timers armed with delay 0, or left over when a turn had its fill
  void run_deferred() override { wheel->advance(); }

  Loop& loop;
  uv_loop_t uv{};
  uv_async_t async{};      // posted tasks and stop
  uv_prepare_t prepare{};  // before the poll
  uv_check_t check{};      // after the poll
  uv_idle_t idle{};        // runs while deferred work waits: keeps the poll from sleeping
  uv_timer_t wheel_timer{};
  uv_idle_t spinner{};  // runs while the loop polls without sleeping
  uint64_t spin_nanos = 0;
  uint64_t spin_until = 0;
  uint32_t turn = 0;  // wraps; only compared for equality
  /// The stream that is being read (one after the other), and how much of it in this turn.
  struct {
    const void* stream = nullptr;
    uint32_t turn = 0;
    size_t bytes = 0;
  } reading;

  DeferredList deferred;
  std::vector<std::shared_ptr<void>> retired;
  std::unique_ptr<char[]> slab;  // not filled with zeros: its pages are there once they are used
  ChunkPool chunks;
  WriteBurst burst;
  std::unique_ptr<TimerWheel> wheel;
  std::shared_ptr<void> tls;  // TlsScratch of tls_scratch.h, from the first TLS stream on

  std::atomic<std::thread::id> thread;
  std::atomic<bool> stop_requested{false};
  std::mutex posted_mutex;
  std::vector<std::function<void()>> posted;  // guarded by posted_mutex
  bool closed = false;                        // guarded by posted_mutex: tasks are dropped
};

}  // namespace hms::net
