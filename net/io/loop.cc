#include "net/io/loop.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "net/core/check.h"
#include "net/io/loop_impl.h"

namespace hms::net {
namespace {

uv_handle_t* as_handle(auto* handle) noexcept { return reinterpret_cast<uv_handle_t*>(handle); }

struct Leaks {
  const Loop::Impl* impl;
  int count = 0;
};

void report_leak(uv_handle_t* handle, void* argument) {
  if (uv_is_closing(handle) != 0) return;
  auto& leaks = *static_cast<Leaks*>(argument);
  ++leaks.count;
  std::fprintf(stderr, "loop: a %s handle was left open when its loop was destroyed\n",
               uv_handle_type_name(uv_handle_get_type(handle)));
}

}  // namespace

// === Deferred

void Deferred::defer(Loop& loop) noexcept {
  if (next == nullptr) loop.impl().deferred.append(*this);
}

void Deferred::cancel() noexcept {
  if (next == nullptr) return;
  previous->next = next;
  next->previous = previous;
  previous = next = nullptr;
}

void DeferredList::append(Deferred& item) noexcept {
  item.previous = ring.previous;
  item.next = &ring;
  ring.previous->next = &item;
  ring.previous = &item;
}

void DeferredList::run_present() {
  if (empty()) return;
  // A ring of its own, so that items added meanwhile wait, and items destroyed meanwhile leave it.
  DeferredList present;
  present.ring = ring;
  present.ring.next->previous = present.ring.previous->next = &present.ring;
  ring.previous = ring.next = &ring;
  while (!present.empty()) {
    auto& item = static_cast<Deferred&>(*present.ring.next);
    item.cancel();
    item.run_deferred();
  }
}

// === Loop::Impl

Loop::Impl::Impl(Loop& owner)
    : loop(owner),
      slab(std::make_unique_for_overwrite<char[]>(kSlabBytes)),
      thread(std::this_thread::get_id()) {
  HMS_ENSURE(uv_loop_init(&uv) == 0);
  uv.data = this;
  HMS_ENSURE(uv_async_init(&uv, &async,
                           [](uv_async_t* handle) { of(as_handle(handle)).run_posted(); }) == 0);
  uv_prepare_init(&uv, &prepare);
  uv_check_init(&uv, &check);
  uv_idle_init(&uv, &idle);
  uv_timer_init(&uv, &wheel_timer);
  uv_idle_init(&uv, &spinner);
  uv_prepare_start(&prepare, [](uv_prepare_t* handle) {
    Impl& impl = of(as_handle(handle));
    impl.end_of_phase();
    // What was deferred just now must not wait for the next event.
    if (!impl.deferred.empty()) uv_idle_start(&impl.idle, [](uv_idle_t*) {});
  });
  uv_check_start(&check, [](uv_check_t* handle) {
    Impl& impl = of(as_handle(handle));
    ++impl.turn;
    uv_idle_stop(&impl.idle);
    impl.end_of_phase();
  });
  wheel = std::make_unique<TimerWheel>(static_cast<TimerWheel::Driver&>(*this));
}

Loop::Impl::~Impl() = default;

void Loop::Impl::run_posted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(posted_mutex);
    tasks.swap(posted);
  }
  for (auto& task : tasks) {
    task();
    task = nullptr;  // what it holds dies here, in order, not with the batch
  }
  if (stop_requested.exchange(false)) uv_stop(&uv);
}

void Loop::Impl::end_of_phase() {
  burst.end();
  deferred.run_present();
  // Destructors may retire more.
  while (!retired.empty()) {
    std::vector<std::shared_ptr<void>> leaving;
    leaving.swap(retired);
    while (!leaving.empty()) leaving.pop_back();
    if (retired.empty()) {
      leaving.swap(retired);  // keeps the capacity
      break;
    }
  }
  burst.end();  // of bytes that were delivered only now
}

void Loop::Impl::wake_at(uint64_t at_millis) {
  const uint64_t now = uv_now(&uv);
  const uint64_t delay = at_millis > now ? at_millis - now : 0;
  // 0 would fire again within the same round of libuv's timers.
  uv_timer_start(
      &wheel_timer, [](uv_timer_t* handle) { of(as_handle(handle)).wheel->advance(); },
      std::max<uint64_t>(delay, 1), 0);
}

void Loop::Impl::wake_soon() { defer(loop); }

void Loop::Impl::sleep() { uv_timer_stop(&wheel_timer); }

void Loop::Impl::spin() {
  spin_until = monotonic_nanos() + spin_nanos;
  uv_idle_start(&spinner, [](uv_idle_t* handle) {
    if (monotonic_nanos() >= of(as_handle(handle)).spin_until) uv_idle_stop(handle);
  });
}

void Loop::Impl::close_all() {
  std::vector<std::function<void()>> dropped;
  {
    const std::lock_guard lock(posted_mutex);
    closed = true;
    dropped.swap(posted);
  }
  dropped.clear();
  // Not run, only destroyed: the owners of deferred work are gone or leaked.
  while (!retired.empty()) {
    std::vector<std::shared_ptr<void>> leaving;
    leaving.swap(retired);
  }
  Deferred::cancel();
  uv_close(as_handle(&async), nullptr);
  uv_close(as_handle(&prepare), nullptr);
  uv_close(as_handle(&check), nullptr);
  uv_close(as_handle(&idle), nullptr);
  uv_close(as_handle(&spinner), nullptr);
  uv_close(as_handle(&wheel_timer), nullptr);
  Leaks leaks{this};
  uv_walk(&uv, report_leak, &leaks);
  HMS_ENSURE(leaks.count == 0);
  uv_run(&uv, UV_RUN_DEFAULT);  // close callbacks, and requests still in libuv's thread pool
  HMS_ENSURE(uv_loop_close(&uv) == 0);
}

// === Loop

Loop::Loop() : impl_(std::make_unique<Impl>(*this)) {}

Loop::~Loop() {
  impl_->thread.store(std::this_thread::get_id());
  impl_->close_all();
}

void Loop::run() {
  impl_->thread.store(std::this_thread::get_id());
  uv_run(&impl_->uv, UV_RUN_DEFAULT);
  impl_->end_of_phase();
}

bool Loop::run_until(const std::function<bool()>& done, Millis at_most) {
  impl_->thread.store(std::this_thread::get_id());
  // The condition may depend on other threads: look at it at least this often.
  constexpr Millis kLook{10};
  const uint64_t start = monotonic_nanos();
  const auto limit = static_cast<uint64_t>(std::max(at_most, Millis::zero()).count()) * 1'000'000u;
  Timer wake(*this, [] {});
  while (!done()) {
    if (monotonic_nanos() - start >= limit) return false;
    uv_update_time(&impl_->uv);
    wake.arm(kLook);
    uv_run(&impl_->uv, UV_RUN_ONCE);
  }
  impl_->end_of_phase();
  return true;
}

void Loop::stop() {
  impl_->stop_requested.store(true);
  const std::lock_guard lock(impl_->posted_mutex);
  if (!impl_->closed) uv_async_send(&impl_->async);
}

void Loop::post(std::function<void()> task) {
  const std::lock_guard lock(impl_->posted_mutex);
  if (impl_->closed) return;
  impl_->posted.push_back(std::move(task));
  uv_async_send(&impl_->async);
}

bool Loop::in_loop_thread() const noexcept {
  return impl_->thread.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

uint64_t Loop::now_millis() const noexcept { return uv_now(&impl_->uv); }

std::span<char> Loop::slab() noexcept { return {impl_->slab.get(), kSlabBytes}; }

TimerWheel& Loop::timers() noexcept { return *impl_->wheel; }

uv_loop_s* Loop::raw() noexcept { return &impl_->uv; }

void Loop::retire_erased(std::shared_ptr<void> object) {
  impl_->retired.push_back(std::move(object));
}

}  // namespace hms::net
