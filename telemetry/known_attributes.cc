#include "telemetry/known_attributes.h"

#include "net/core/random.h"
#include "telemetry/hash.h"

namespace hms::telemetry {
namespace {

constexpr size_t kSets = 65'536;

size_t set_of(const AttributesHash& hash) noexcept { return 2 * (hash[0] % kSets); }

}  // namespace

AttributesHash hash_attributes(std::string_view run) noexcept {
  static const uint64_t seed = net::random_u64();
  AttributesHash hash = hash_128(run, seed);
  if (hash == AttributesHash{}) hash[0] = 1;
  return hash;
}

bool KnownAttributes::contains(const AttributesHash& hash) const noexcept {
  if (slots_.empty()) return false;
  const size_t at = set_of(hash);
  return slots_[at] == hash || slots_[at + 1] == hash;
}

void KnownAttributes::insert(const AttributesHash& hash) {
  if (slots_.empty()) slots_.resize(2 * kSets);
  const size_t at = set_of(hash);
  slots_[at + 1] = slots_[at];
  slots_[at] = hash;
}

}  // namespace hms::telemetry
