#include "proxy/counters.h"

#include <cstring>
#include <type_traits>

namespace hms::proxy {

void Counters::add(const Counters& other) noexcept {
  // Every member is one or more uint64_t and nothing else: summing them by name would only be a
  // place to forget one.
  static_assert(sizeof(Counters) % sizeof(uint64_t) == 0);
  static_assert(std::is_trivially_copyable_v<Counters>);
  constexpr size_t kCount = sizeof(Counters) / sizeof(uint64_t);
  std::array<uint64_t, kCount> mine, theirs;
  std::memcpy(mine.data(), this, sizeof(Counters));
  std::memcpy(theirs.data(), &other, sizeof(Counters));
  for (size_t i = 0; i < kCount; ++i) mine[i] += theirs[i];
  std::memcpy(static_cast<void*>(this), mine.data(), sizeof(Counters));
}

}  // namespace hms::proxy
