#include "net/io/descriptors.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>

namespace hms::net {
namespace {

constexpr rlim_t kKeptBack = 16;

std::atomic<int> first_kept_back{INT_MAX};
std::atomic<bool> nearly_out{false};  // one of those kept back was seen in use

}  // namespace

uint64_t raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t allowed = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : allowed;
}

void keep_descriptors_back() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return;
  const rlim_t back = std::min(kKeptBack, limit.rlim_cur / 8);
  first_kept_back = static_cast<int>(limit.rlim_cur - back);
}

void note_new_descriptor(int descriptor) noexcept {
  if (descriptor >= first_kept_back.load(std::memory_order_relaxed)) nearly_out = true;
}

bool descriptors_are_short() noexcept {
  if (!nearly_out.load(std::memory_order_relaxed)) return false;
  const int lowest_free = eventfd(0, EFD_CLOEXEC);
  if (lowest_free < 0) return true;
  close(lowest_free);
  const bool is_short = lowest_free >= first_kept_back.load(std::memory_order_relaxed);
  if (!is_short) nearly_out = false;
  return is_short;
}

}  // namespace hms::net
