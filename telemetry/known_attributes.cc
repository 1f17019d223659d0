#include "telemetry/known_attributes.h"

#include "net/core/random.h"
#include "telemetry/hash.h"

namespace hms::telemetry {
namespace {

constexpr size_t kSets = 65'536;

constexpr size_t kSlots = 2 * kSets;

size_t set_of(const AttributesHash& hash) noexcept { return 2 * (hash[0] % kSets); }

bool same(const AttributesHash& a, const AttributesHash& b) noexcept {
  return a[0] == b[0] && a[1] == b[1];  // std::array's == calls memcmp
}

}  // namespace

AttributesHash hash_attributes(std::string_view run) noexcept {
  static const uint64_t seed = net::random_u64();
  AttributesHash hash = hash_128(run, seed);
  if (hash == AttributesHash{}) hash[0] = 1;
  return hash;
}

bool KnownAttributes::contains(const AttributesHash& hash) noexcept {
  if (next_ < order_.size() && same(order_[next_], hash)) {
    ++next_;
    return true;
  }
  if (slots_.empty()) return false;
  for (size_t at = set_of(hash), end = at + 2; at < end; ++at) {
    if (!same(slots_[at], hash)) continue;
    next_ = places_[at] + size_t{1};
    return true;
  }
  return false;
}

void KnownAttributes::insert(const AttributesHash& hash) {
  if (slots_.empty()) {
    slots_.resize(kSlots);
    places_.resize(kSlots);
    order_.reserve(kSlots);
  }
  const size_t place = order_.size() < kSlots ? order_.size() : oldest_++ % kSlots;
  if (place == order_.size()) {
    order_.push_back(hash);
  } else {
    order_[place] = hash;
  }
  next_ = place + 1;
  const size_t at = set_of(hash);
  slots_[at + 1] = slots_[at];
  places_[at + 1] = places_[at];
  slots_[at] = hash;
  places_[at] = static_cast<uint32_t>(place);
}

}  // namespace hms::telemetry
