// loop.h: one libuv event loop and what hangs on it: the timer wheel, the read slab, tasks from
// other threads, and late deletion.
//
// Ownership rules (design: docs/architecture.md, "Ownership on a libuv loop"):
//  * a libuv handle lives in a node that outlives its C++ owner; the owner's destructor detaches
//  and closes;
//  * nobody deletes itself inside its own callback: `retire` keeps it until the end of the turn;
//  * streams, timers and exchanges never cross threads; values do, through `post`.
// Thread: everything but `post` and `stop` belongs to the thread that runs the loop. Only net/io
// includes <uv.h>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "net/core/clock.h"

struct uv_loop_s;

namespace hms::net {

class TimerWheel;

class Loop {
 public:
  Loop();
  /// Ends with every handle closed; aborts if one of ours was left open (`uv_loop_close` must give
  /// 0).
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until `stop`. May be called again afterwards.
  void run();
  /// Runs the loop until `done()` is true or the time is over; returns done(). For tests and
  /// start-up.
  bool run_until(const std::function<bool()>& done, Millis at_most);
  /// Any thread.
  void stop();
  /// Runs `task` on the loop's thread, in order of posting. Any thread. Tasks posted to a loop that
  /// never runs again are dropped with it.
  void post(std::function<void()> task);
  [[nodiscard]] bool in_loop_thread() const noexcept;

  /// Monotonic milliseconds, cached once per turn. Free.
  [[nodiscard]] uint64_t now_millis() const noexcept;

  /// Destroys `object` at the end of the turn.
  template <class T>
  void retire(std::unique_ptr<T> object) {
    retire_erased(std::shared_ptr<void>(std::move(object)));
  }

  /// The one read buffer of the loop: what a read callback is handed lives here and only until it
  /// returns. Streams use 64 KiB of it, and more only while large bodies run (tcp_stream.h): what
  /// is not touched costs no memory.
  static constexpr size_t kSlabBytes = 512 * 1024;
  [[nodiscard]] std::span<char> slab() noexcept;

  [[nodiscard]] TimerWheel& timers() noexcept;
  [[nodiscard]] uv_loop_s* raw() noexcept;  // net/io only

  struct Impl;
  [[nodiscard]] Impl& impl() noexcept { return *impl_; }  // net/io only

 private:
  void retire_erased(std::shared_ptr<void> object);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::net
