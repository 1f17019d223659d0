#include "net/http/message_head.h"

#include <array>
#include <cstring>

#include "net/http/characters.h"

namespace hms::net {
namespace {

constexpr size_t kKnownCount = static_cast<size_t>(KnownHeader::count_);

// In the order of the enumeration; the first is `other`.
constexpr std::array<std::string_view, kKnownCount> kNames = {
    "",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "via",
    "date",
    "server",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "authorization",
    "cookie",
    "user-agent",
    "max-forwards",
    "x-trace",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-request-id",
    "baggage",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "x-hms-error",
    "http2-settings",
    "retry-after",
    "idempotency-key",
    "last-event-id",
    "origin",
};

constexpr size_t kSlots = 256;

// Length, first, middle and last letter tell all known names apart; the multiplier is searched for
// at compile time.
constexpr size_t slot_of(std::string_view name, uint32_t multiplier) {
  uint32_t mixed = static_cast<uint32_t>(name.size());
  mixed = mixed * 31 + static_cast<unsigned char>(lower(name.front()));
  mixed = mixed * 31 + static_cast<unsigned char>(lower(name[name.size() / 2]));
  mixed = mixed * 31 + static_cast<unsigned char>(lower(name[name.size() * 3 / 4]));
  mixed = mixed * 31 + static_cast<unsigned char>(lower(name.back()));
  return (mixed * multiplier) >> 24;
}

constexpr bool is_perfect(uint32_t multiplier) {
  std::array<bool, kSlots> taken{};
  for (size_t i = 1; i < kKnownCount; ++i) {
    const size_t slot = slot_of(kNames[i], multiplier);
    if (taken[slot]) return false;
    taken[slot] = true;
  }
  return true;
}

constexpr uint32_t find_multiplier() {
  uint32_t candidate = 0x9e3779b1U;
  for (int i = 0; i < 1000; ++i) {
    if (is_perfect(candidate)) return candidate;
    candidate = candidate * 1664525U + 1013904223U;
    candidate |= 1U;
  }
  return 0;
}

constexpr uint32_t kMultiplier = find_multiplier();
static_assert(kMultiplier != 0, "no collision-free multiplier: add a letter to slot_of");

constexpr std::array<KnownHeader, kSlots> build_slots() {
  std::array<KnownHeader, kSlots> slots{};
  for (size_t i = 1; i < kKnownCount; ++i) {
    slots[slot_of(kNames[i], kMultiplier)] = static_cast<KnownHeader>(i);
  }
  return slots;
}
constexpr std::array<KnownHeader, kSlots> kSlotTable = build_slots();

/// "Content-Length" for "content-length": with small letters, what nearly everybody sends.
struct Capitalised {
  std::array<char, 24> text{};
};
constexpr std::array<Capitalised, kKnownCount> capitalise() {
  std::array<Capitalised, kKnownCount> all{};
  for (size_t i = 0; i < kKnownCount; ++i) {
    bool first = true;
    for (size_t k = 0; k < kNames[i].size(); ++k) {
      const char c = kNames[i][k];
      all[i].text[k] = first && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      first = c == '-';
    }
  }
  return all;
}
constexpr std::array<Capitalised, kKnownCount> kCapitalised = capitalise();

}  // namespace

KnownHeader known_header(std::string_view name) noexcept {
  if (name.size() < 2) return KnownHeader::other;
  const KnownHeader candidate = kSlotTable[slot_of(name, kMultiplier)];
  const auto index = static_cast<size_t>(candidate);
  const std::string_view wanted = kNames[index];
  if (wanted.size() != name.size()) return KnownHeader::other;
  const bool same = std::memcmp(name.data(), kCapitalised[index].text.data(), name.size()) == 0 ||
                    equals_ignoring_case(name, wanted);
  return same ? candidate : KnownHeader::other;
}

const HeaderField* MessageHead::find(KnownHeader known) const noexcept {
  if (!has(known)) return nullptr;
  for (uint16_t i = 0; i < field_count; ++i) {
    if (fields[i].known == known) return &fields[i];
  }
  return nullptr;
}

std::string_view MessageHead::get(KnownHeader known) const noexcept {
  const HeaderField* field = find(known);
  return field == nullptr ? std::string_view() : value(*field);
}

std::string_view MessageHead::get(std::string_view any_name) const noexcept {
  const KnownHeader known = known_header(any_name);
  if (known != KnownHeader::other) return get(known);
  for (uint16_t i = 0; i < field_count; ++i) {
    if (equals_ignoring_case(name(fields[i]), any_name)) return value(fields[i]);
  }
  return {};
}

}  // namespace hms::net
