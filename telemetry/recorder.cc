// recorder.cc: see recorder.h.
//
// Series live in one open-addressing table of 16,384 slots (never more than a third full) pointing
// into a deque, so a hot request costs one hash, one comparison and one increment. Series stay over
// flips with their histogram windows; those silent for 60 flips go when half the series are used
// up.
#include "telemetry/recorder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "net/core/clock.h"

namespace hms::telemetry {
namespace {

constexpr std::array<std::string_view, 10> kMethods = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER"};
constexpr std::array<std::string_view, 10> kErrorTypes = {
    "",      "client_disconnect", "connect_failed", "connect_timeout", "timeout",
    "reset", "protocol",          "overloaded",     "no_upstream",     "_OTHER"};

constexpr size_t kMaxNames = 65'535;
constexpr size_t kMaxSeries = 4'096;
constexpr size_t kSlots = 16'384;
constexpr size_t kFoldedSeries =
    1'024;  // room beyond kMaxSeries for the folded ones, which are few kinds
constexpr size_t kMaxSpans = 16'384;
constexpr size_t kMaxTextBytesHere = 256;
constexpr uint32_t kIdleFlips = 60;
static_assert(kSlots >= 2 * (kMaxSeries + kFoldedSeries));

uint64_t mixed(uint64_t value) noexcept {
  value ^= value >> 32;
  value *= 0x9E3779B97F4A7C15ULL;
  value ^= value >> 29;
  return value;
}

size_t hash_of(const SeriesKey& key) noexcept {
  static_assert(sizeof(SeriesKey) == 12 && std::has_unique_object_representations_v<SeriesKey>);
  uint64_t low;
  uint32_t high;
  std::memcpy(&low, &key, 8);
  std::memcpy(&high, reinterpret_cast<const char*>(&key) + 8, 4);
  return static_cast<size_t>(mixed(low ^ mixed(high)));
}

}  // namespace

Method method_of(std::string_view text) noexcept {
  for (size_t i = 0; i + 1 < kMethods.size(); ++i) {
    if (kMethods[i] == text) return static_cast<Method>(i);
  }
  return Method::other;
}

std::string_view method_name(Method method) noexcept {
  return kMethods[static_cast<size_t>(method)];
}
std::string_view error_type_name(ErrorType type) noexcept {
  return kErrorTypes[static_cast<size_t>(type)];
}

// === NameTable ===

struct NameTable::Impl {
  std::deque<std::string> names;  // stable addresses: the index below views them
  std::unordered_map<std::string_view, uint32_t> index;

  uint32_t intern(std::string_view text, size_t most) {
    if (const auto found = index.find(text); found != index.end()) return found->second;
    if (names.size() >= most) return 1;
    const auto number = static_cast<uint32_t>(names.size());
    index.emplace(names.emplace_back(text), number);
    return number;
  }
};

NameTable::NameTable() : impl_(std::make_unique<Impl>()) {
  impl_->intern("", kMaxNames);
  impl_->intern("other", kMaxNames);
}
NameTable::~NameTable() = default;

uint32_t NameTable::intern(std::string_view text) { return impl_->intern(text, kMaxNames); }
uint32_t NameTable::intern_peer(std::string_view text) {
  return impl_->intern(text, kMaxNames / 2);
}
const std::string& NameTable::name(uint32_t index) const noexcept {
  return impl_->names[index < impl_->names.size() ? index : 0];
}
uint32_t NameTable::overflow() const noexcept { return 1; }
size_t NameTable::size() const noexcept { return impl_->names.size(); }

namespace {

/// The names that one interval uses, numbered afresh: a delta carries these few, and not the
/// table's thousands.
class NamesUsed {
 public:
  explicit NamesUsed(const NameTable& table) : table_(table), numbers_(table.size(), 0) {}

  uint32_t number(uint32_t index) {
    if (index == 0 || index >= numbers_.size()) return 0;
    uint32_t& number = numbers_[index];
    if (number == 0) {
      number = static_cast<uint32_t>(names_.size());
      names_.push_back(table_.name(index));
    }
    return number;
  }
  [[nodiscard]] std::shared_ptr<const std::vector<std::string>> take() {
    if (names_.size() == 1) return nullptr;
    return std::make_shared<const std::vector<std::string>>(std::move(names_));
  }

 private:
  const NameTable& table_;
  std::vector<uint32_t> numbers_;
  std::vector<std::string> names_{std::string()};
};

}  // namespace

// === Recorder ===

struct Recorder::Impl {
  struct Series {
    SeriesKey key;
    uint32_t idle_flips = 0;
    DenseHistogram duration;
  };

  NameTable names;
  std::deque<Series> series;
  std::vector<Series*> slots = std::vector<Series*>(kSlots, nullptr);
  std::vector<SpanRecord> spans;
  std::vector<std::string> texts;
  std::array<uint32_t, 256>
      text_cache{};  // hash -> 1 + index into texts: the same few paths come again and again
  uint64_t begin_unix_nanos = net::unix_nanos();
  uint64_t spans_dropped = 0, series_folded = 0, requests = 0;

  /// The slot that holds `key`, or the empty one where it belongs.
  Series*& slot_of(const SeriesKey& key) noexcept {
    for (size_t at = hash_of(key) & (kSlots - 1);; at = (at + 1) & (kSlots - 1)) {
      Series*& slot = slots[at];
      if (slot == nullptr || slot->key == key) return slot;
    }
  }

  Series& create(Series*& slot, const SeriesKey& key) {
    Series& made = series.emplace_back();
    made.key = key;
    slot = &made;
    return made;
  }

  /// Beyond the bound: the route becomes `other`; should even that be too many kinds, the rest is
  /// thinned to what a dashboard needs.
  Series& folded(SeriesKey key) {
    ++series_folded;
    key.route = names.overflow();
    key.upstream = 0;
    Series** slot = &slot_of(key);
    if (*slot != nullptr) return **slot;
    if (series.size() < kMaxSeries + kFoldedSeries / 2) return create(*slot, key);
    key.method = Method::other;
    key.status = static_cast<uint16_t>(std::min(key.status / 100, 9) * 100);
    key.tls = false;
    slot = &slot_of(key);
    return *slot != nullptr ? **slot : create(*slot, key);  // at most 10 * 2 * 10 of them
  }

  Series& find(const SeriesKey& key) {
    Series*& slot = slot_of(key);
    if (slot != nullptr) [[likely]]
      return *slot;
    return series.size() < kMaxSeries ? create(slot, key) : folded(key);
  }

  uint32_t keep_text(std::string_view text) {
    if (text.empty()) return 0;
    text = text.substr(0, kMaxTextBytesHere);
    uint32_t& cached = text_cache[std::hash<std::string_view>()(text) & (text_cache.size() - 1)];
    if (cached == 0 || texts[cached - 1] != text) {
      texts.emplace_back(text);
      cached = static_cast<uint32_t>(texts.size());
    }
    return cached;
  }

  void forget_idle() {
    if (series.size() < kMaxSeries / 2) return;
    std::deque<Series> kept;
    for (Series& one : series) {
      if (one.idle_flips < kIdleFlips) kept.push_back(std::move(one));
    }
    series = std::move(kept);
    std::fill(slots.begin(), slots.end(), nullptr);
    for (Series& one : series) slot_of(one.key) = &one;
  }
};

Recorder::Recorder() : impl_(std::make_unique<Impl>()) {}
Recorder::~Recorder() = default;

NameTable& Recorder::names() noexcept { return impl_->names; }
uint64_t Recorder::requests() const noexcept { return impl_->requests; }

void Recorder::add(const SeriesKey& key, uint64_t duration_nanos) {
  ++impl_->requests;
  impl_->find(key).duration.record_nanos(duration_nanos);
}

void Recorder::add_span(const SpanRecord& span, std::string_view trace_text,
                        std::string_view target) {
  Impl& self = *impl_;
  if (self.spans.size() >= kMaxSpans) {
    ++self.spans_dropped;
    return;
  }
  SpanRecord& kept = self.spans.emplace_back(span);
  kept.trace_text = self.keep_text(trace_text);
  kept.target = self.keep_text(target);
}

RecorderDelta Recorder::flip(uint64_t now_unix_nanos) {
  Impl& self = *impl_;
  RecorderDelta delta;
  delta.begin_unix_nanos =
      std::min(self.begin_unix_nanos, now_unix_nanos);  // the wall clock may have been set back
  delta.end_unix_nanos = now_unix_nanos;
  self.begin_unix_nanos = now_unix_nanos;

  NamesUsed used(self.names);
  const auto renumber = [&used](SeriesKey& key) {
    key.route = used.number(key.route);
    key.upstream = static_cast<uint16_t>(used.number(key.upstream));
  };
  for (Impl::Series& series : self.series) {
    if (series.duration.count() == 0) {
      ++series.idle_flips;
      continue;
    }
    series.idle_flips = 0;
    renumber(delta.series.emplace_back(SeriesDelta{series.key, series.duration.snapshot()}).key);
    series.duration.clear();
  }
  for (SpanRecord& span : self.spans) {
    renumber(span.key);
    span.peer = used.number(span.peer);
    span.peer_identity = used.number(span.peer_identity);
  }
  delta.names = used.take();
  const size_t spans = self.spans.size(), texts = self.texts.size();
  delta.spans = std::move(self.spans);
  delta.texts = std::move(self.texts);
  self.spans = {};
  self.texts = {};
  self.spans.reserve(
      spans +
      spans / 4);  // what the last interval needed: a steady load allocates here, not per request
  self.texts.reserve(texts + texts / 4);
  self.text_cache.fill(0);
  delta.spans_dropped = std::exchange(self.spans_dropped, 0);
  delta.series_folded = std::exchange(self.series_folded, 0);
  self.forget_idle();
  return delta;
}

}  // namespace hms::telemetry
