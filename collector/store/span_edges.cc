#include "collector/store/span_edges.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collector/store/chunk_days.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/keys.h"
#include "collector/store/span_index.h"
#include "collector/store/span_parents.h"

namespace hms::collector {
namespace {

using telemetry::SpanKind;

constexpr uint64_t kSecondNanos = 1'000'000'000ULL;
constexpr uint32_t kSlotsInMemory = 720;  // two hours
constexpr int kSlotsAtATime = 16;
constexpr size_t kMaxRowsPerSlot = 5'000;
constexpr size_t kMaxLateRows = 20'000;
constexpr size_t kMaxWaiting = 200'000;
constexpr size_t kMaxNames = 20'000;
constexpr size_t kExpectAhead = 12;  // spans: longer than a look into the memory takes

/// A slot as one family keeps it: its day's, or that of a later day on which calls for it came when
/// its own was on its way to the lake already.
struct SlotKey {
  uint32_t slot = 0;
  Family day;
  auto operator<=>(const SlotKey&) const = default;
};
using Slot = std::map<EdgeNames, EdgeTotals>;

Family family_of_slot(uint32_t slot) { return Family::of_unix_nanos(slot * kSlotNanos); }

class SlottedEdgeStore final : public ServiceEdgeStore {
 public:
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch>, KvWriter&) override {}
  void committed(std::span<const AcceptedBatch> group) override;
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void seal_day(Family day) override;
  void forget_day(Family day) override;
  net::Result<ServiceMap> totals(uint64_t start_unix_nanos, uint64_t end_unix_nanos,
                                 const std::function<bool()>& cancelled) const override;
  CallsLeftOut left_out() const override {
    return {left_out_.rows, left_out_.late_rows, left_out_.waiting, left_out_.unreadable};
  }

 private:
  struct Call {
    uint32_t slot = 0;
    uint32_t second = 0;  // within the slot
    uint32_t to = 0;      // numbers of services, of which 0 is no name
    uint64_t nanos = 0;
    bool error = false;
  };
  struct Waiting {
    Call call;
    uint32_t since_seconds = 0;
  };
  /// Read without the lock, which the commit thread holds for tens of milliseconds: the loop asks
  /// for them at /metrics.
  struct Counter {
    std::atomic<uint64_t> value{0};
    void add(uint64_t calls) noexcept { value.fetch_add(calls, std::memory_order_relaxed); }
    // NOLINTNEXTLINE(google-explicit-constructor)
    operator uint64_t() const noexcept { return value.load(std::memory_order_relaxed); }
  };
  struct Counters {
    Counter rows, late_rows, waiting, unreadable;  // as CallsLeftOut
  };
  struct RowKey {
    uint32_t slot, from, to;
    bool operator==(const RowKey&) const = default;
  };
  struct RowHash {
    size_t operator()(const RowKey& key) const noexcept {
      return (uint64_t{key.from} << 44 ^ uint64_t{key.to} << 24 ^ key.slot) * 0x9E3779B97F4A7C15ULL;
    }
  };
  /// A row that was counted in since it was last written, and what is not in its totals yet.
  struct HotRow {
    EdgeTotals* totals = nullptr;
    uint64_t errors = 0;
    telemetry::DenseHistogram durations;
  };
  [[nodiscard]] std::vector<uint32_t> services_of(const telemetry::TraceBatch& batch);
  void answer_waiting(uint64_t parent, uint32_t service);
  void add_call(const telemetry::SpanView& span, uint32_t service, uint64_t arrived);
  void trim_waiting(uint32_t now_seconds);
  void count(uint32_t from, const Call& call);
  HotRow* hot_row(const RowKey& key, const Call& call);
  EdgeTotals* row(uint32_t from, const Call& call);
  bool load_late_row(const SlotKey& key, const EdgeNames& names, EdgeTotals& totals);
  void forget_closed_slots();
  void settle_hot() const;
  net::Result<void> add_from_disk(uint32_t first, uint32_t last,
                                  const std::set<std::pair<SlotKey, EdgeNames>>& counted,
                                  const std::function<bool()>& cancelled, EdgeSum& sum) const;

  const KvReader* reader_ = nullptr;
  mutable std::mutex mutex_;
  /// All rows of the slots from first_in_memory_ on; of older ones those that a late call changed.
  std::map<SlotKey, Slot> slots_;
  uint32_t first_in_memory_ = 0;
  size_t late_rows_ = 0;  // since the last write
  Counters left_out_;
  std::set<std::pair<SlotKey, EdgeNames>> dirty_;
  std::set<Family> sealed_;
  uint64_t arrived_ = 0;  // the newest batch, Unix nanoseconds
  SpanParents parents_;
  std::unordered_multimap<uint64_t, Waiting> waiting_;  // calls whose caller is not known yet
  /// A bit for each key of waiting_, and some more: nearly no span is waited for, and these 32 KiB
  /// tell so sooner than the table.
  std::bitset<1UL << 18> may_wait_;
  static size_t bit_of(uint64_t key) noexcept { return key >> 46; }
  std::map<std::string, uint32_t, std::less<>> numbers_;
  std::vector<std::string> names_ = {""};  // by number
  mutable std::unordered_map<RowKey, HotRow, RowHash> hot_;
  /// Calls of one row, the last few: a row is some KiB, and to look for it and to count in it for
  /// each call is to wait for the memory some five times. Two lines of the cache; what meets
  /// another row's in its place settles that.
  struct PendingCalls {
    static constexpr uint64_t kMostNanos = (uint64_t{1} << 56) - 1;  // two years
    struct Packed {
      uint64_t nanos : 56;
      uint64_t second : 4;  // within the slot
      uint64_t error : 1;
    };
    RowKey key{};
    uint32_t count = 0;
    HotRow* row = nullptr;  // of key, in hot_, if there are calls
    std::array<Packed, 13> calls{};
    void settle();
  };
  static constexpr unsigned kPendingShift = 52;  // of 64 bits: 4,096 places
  mutable std::vector<PendingCalls> pending_ =
      std::vector<PendingCalls>(size_t{1} << (64 - kPendingShift));
  mutable bool any_pending_ = false;
};

net::Result<void> SlottedEdgeStore::recover(const KvReader& reader) {
  const std::lock_guard lock(mutex_);
  reader_ = &reader;
  const auto days = reader.days();
  if (days.empty()) return {};
  // The newest slots come back to memory, so that counting goes on where it ended.
  uint32_t newest = 0;
  const std::string table = table_key(Table::service_edge);
  for (const Family day : days) {
    const auto scanned = reader.scan(
        day, table, prefix_end(table),
        [&newest](std::string_view key, std::string_view) {
          newest = std::max(newest, read_be32(key.substr(1)));
          return false;
        },
        true);
    if (!scanned) return scanned.error();
  }
  first_in_memory_ = newest > kSlotsInMemory ? newest - kSlotsInMemory : 0;
  for (const Family day : days) {
    const auto read =
        each_edge_row(reader, day, first_in_memory_, newest, [this, day](EdgeRow row) {
          slots_[{row.slot, day}][std::move(row.names)] = std::move(row.totals);
        });
    if (!read) return read.error();
  }
  return {};
}

/// What the disk has of it. False: the call that asked for it is left out.
bool SlottedEdgeStore::load_late_row(const SlotKey& key, const EdgeNames& names,
                                     EdgeTotals& totals) {
  if (late_rows_ >= kMaxLateRows) {
    left_out_.late_rows.add(1);
    return false;
  }
  ++late_rows_;
  const auto stored = reader_->get(key.day, edge_key(key.slot, names));
  if (!stored.ok()) {
    if (stored.error().code == net::Code::not_found) return true;
    left_out_.unreadable.add(1);
    return false;
  }
  EdgeTotals found;
  if (decode_edge(*stored, found)) totals = std::move(found);
  return true;
}

EdgeTotals* SlottedEdgeStore::row(uint32_t from, const Call& call) {
  const SlotKey key{call.slot, open_family_of_record(call.slot * kSlotNanos, arrived_, sealed_)};
  if (sealed_.contains(key.day)) return nullptr;  // so is the day on which it came
  EdgeNames names(names_[from], names_[call.to]);
  Slot& slot = slots_[key];
  auto it = slot.find(names);
  if (it == slot.end()) {
    if (slot.size() >= kMaxRowsPerSlot) {
      left_out_.rows.add(1);
      return nullptr;
    }
    EdgeTotals totals;
    if (call.slot < first_in_memory_ && !load_late_row(key, names, totals)) return nullptr;
    it = slot.try_emplace(names, std::move(totals)).first;
  }
  dirty_.emplace(key, std::move(names));
  return &it->second;
}

/// Null: the call is left out.
SlottedEdgeStore::HotRow* SlottedEdgeStore::hot_row(const RowKey& key, const Call& call) {
  const auto known = hot_.find(key);
  if (known != hot_.end()) return &known->second;
  EdgeTotals* const totals = row(key.from, call);
  if (totals == nullptr) return nullptr;
  HotRow& added = hot_[key];
  added.totals = totals;
  return &added;
}

void SlottedEdgeStore::count(uint32_t from, const Call& call) {
  const RowKey key{call.slot, from, call.to};
  PendingCalls& pending = pending_[RowHash()(key) >> kPendingShift];
  if (pending.count == 0 || pending.key != key) {
    HotRow* const row = hot_row(key, call);
    if (row == nullptr) return;
    pending.settle();
    pending.key = key;
    pending.row = row;
    any_pending_ = true;
  } else if (pending.count == pending.calls.size()) {
    pending.settle();
  }
  pending.calls[pending.count++] = {
      std::min(call.nanos, PendingCalls::kMostNanos) & PendingCalls::kMostNanos, call.second & 0xFU,
      call.error ? 1U : 0U};
}

void SlottedEdgeStore::PendingCalls::settle() {
  for (size_t i = 0; i < count; ++i) {
    const Packed call = calls[i];
    ++row->totals->requests_of[call.second];
    row->totals->errors_of[call.second] += call.error ? 1 : 0;
    row->errors += call.error ? 1 : 0;
    row->durations.record_nanos(call.nanos);
  }
  count = 0;
}

/// Before the totals are looked at, and before hot_ is cleared.
void SlottedEdgeStore::settle_hot() const {
  if (any_pending_) {
    for (PendingCalls& pending : pending_) pending.settle();
    any_pending_ = false;
  }
  for (auto& [key, hot] : hot_) {
    if (hot.durations.count() == 0) continue;
    hot.totals->requests += hot.durations.count();
    hot.totals->errors += hot.errors;
    hot.totals->duration.merge(hot.durations.snapshot());
    hot.durations.clear();
    hot.errors = 0;
  }
}

/// Numbers of the batch's senders.
std::vector<uint32_t> SlottedEdgeStore::services_of(const telemetry::TraceBatch& batch) {
  std::vector<uint32_t> services;
  services.reserve(batch.resources.size());
  for (const telemetry::ResourceView& resource : batch.resources) {
    const std::string_view name = resource.service_name.substr(0, resource.service_name.find('\0'));
    auto it = numbers_.find(name);
    if (it == numbers_.end()) {
      it = numbers_.emplace(name, static_cast<uint32_t>(names_.size())).first;
      names_.emplace_back(name);
    }
    services.push_back(it->second);
  }
  return services;
}

/// Calls that waited for this span as their parent.
void SlottedEdgeStore::answer_waiting(uint64_t parent, uint32_t service) {
  if (!may_wait_[bit_of(parent)]) return;
  const auto [first, last] = waiting_.equal_range(parent);
  for (auto it = first; it != last; ++it) {
    if (it->second.call.to != service) count(service, it->second.call);
  }
  waiting_.erase(first, last);
}

void SlottedEdgeStore::add_call(const telemetry::SpanView& span, uint32_t service,
                                uint64_t arrived) {
  const bool serves = span.kind == SpanKind::server || span.kind == SpanKind::consumer;
  const bool root = no_id(span.parent_span_id);
  const bool untyped = span.kind == SpanKind::unspecified;
  if (!serves && !untyped) return;
  const uint64_t nanos =
      span.end_unix_nanos > span.start_unix_nanos ? span.end_unix_nanos - span.start_unix_nanos : 0;
  const uint64_t when = std::min(span.start_unix_nanos + nanos,
                                 arrived);  // a clock ahead of ours must not open slots to come
  const Call call{static_cast<uint32_t>(when / kSlotNanos),
                  static_cast<uint32_t>(when / kSecondNanos % kSecondsPerSlot), service, nanos,
                  span.status == telemetry::SpanStatus::error};
  if (serves || root) count(0, call);
  if (root) return;
  const auto seconds = static_cast<uint32_t>(arrived / 1'000'000'000);
  const uint64_t key = span_key(span.trace_id, span.parent_span_id);
  const auto parent = parents_.find(key, seconds);
  if (!parent) {
    if (waiting_.size() >= kMaxWaiting) {
      left_out_.waiting.add(1);
      return;
    }
    waiting_.emplace(key, Waiting{call, seconds});
    may_wait_.set(bit_of(key));
  } else if (*parent != service) {
    count(*parent, call);
  }
}

void SlottedEdgeStore::trim_waiting(uint32_t now_seconds) {
  std::erase_if(waiting_, [now_seconds](const auto& entry) {
    return entry.second.since_seconds + SpanParents::kRememberSeconds < now_seconds;
  });
  may_wait_.reset();
  for (const auto& [key, waiting] : waiting_) may_wait_.set(bit_of(key));
}

void SlottedEdgeStore::committed(std::span<const AcceptedBatch> group) {
  const std::lock_guard lock(mutex_);
  size_t resources = 0;
  for (const AcceptedBatch& batch : group) {
    resources += batch.traces ? batch.traces->resources.size() : 0;
    arrived_ = std::max(arrived_, batch.arrived_unix_nanos);
  }
  if (names_.size() + resources > kMaxNames) {
    // Names without end: forget them all, and who is whose parent with them.
    settle_hot();
    numbers_.clear();
    names_.resize(1);
    parents_.clear();
    left_out_.waiting.add(waiting_.size());
    waiting_.clear();
    hot_.clear();
  }
  // All spans of the group as parents first: then only calls whose caller comes later must wait.
  std::vector<std::vector<uint32_t>> services;
  for (const AcceptedBatch& batch : group) {
    auto& of = services.emplace_back();
    if (!batch.traces) continue;
    of = services_of(*batch.traces);
    const auto seconds = static_cast<uint32_t>(batch.arrived_unix_nanos / 1'000'000'000);
    const auto& spans = batch.traces->spans;
    for (size_t i = 0; i < spans.size(); ++i) {
      if (i + kExpectAhead < spans.size()) {
        const telemetry::SpanView& ahead = spans[i + kExpectAhead];
        parents_.expect(span_key(ahead.trace_id, ahead.span_id));
      }
      const telemetry::SpanView& span = spans[i];
      const uint64_t key = span_key(span.trace_id, span.span_id);
      parents_.put(key, of[span.resource], seconds);
      answer_waiting(key, of[span.resource]);
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (!group[i].traces) continue;
    for (const telemetry::SpanView& span : group[i].traces->spans)
      add_call(span, services[i][span.resource], group[i].arrived_unix_nanos);
  }
}

/// Slots out of reach, whose rows are all written: what was put when this was called last is
/// committed by now, so that questions find them on the disk.
void SlottedEdgeStore::forget_closed_slots() {
  auto slot = slots_.begin();
  while (slot != slots_.end() && slot->first.slot < first_in_memory_) {
    const auto dirty = dirty_.lower_bound({slot->first, {}});
    const bool written = dirty == dirty_.end() || dirty->first != slot->first;
    slot = written ? slots_.erase(slot) : std::next(slot);
  }
}

void SlottedEdgeStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  const std::lock_guard lock(mutex_);
  settle_hot();
  hot_.clear();
  forget_closed_slots();
  for (const auto& [key, names] : dirty_)
    writer.put(key.day, edge_key(key.slot, names), encode_edge(slots_[key][names]));
  dirty_.clear();
  late_rows_ = 0;
  trim_waiting(static_cast<uint32_t>(now_unix_nanos / kSecondNanos));
  const auto now = static_cast<uint32_t>(now_unix_nanos / kSlotNanos);
  if (now > kSlotsInMemory && now - kSlotsInMemory > first_in_memory_)
    first_in_memory_ = now - kSlotsInMemory;
}

void SlottedEdgeStore::seal_day(Family day) {
  const std::lock_guard lock(mutex_);
  settle_hot();
  hot_.clear();  // calls for its slots get rows elsewhere from now on
  sealed_.insert(day);
}

void SlottedEdgeStore::forget_day(Family day) {
  const std::lock_guard lock(mutex_);
  settle_hot();
  hot_.clear();
  std::erase_if(dirty_, [day](const auto& row) { return row.first.day == day; });
  std::erase_if(slots_, [day](const auto& slot) { return slot.first.day == day; });
}

/// Without the rows that were counted from memory.
net::Result<void> SlottedEdgeStore::add_from_disk(
    uint32_t first, uint32_t last, const std::set<std::pair<SlotKey, EdgeNames>>& counted,
    const std::function<bool()>& cancelled, EdgeSum& sum) const {
  for (const Family day : reader_->days()) {
    if (day < family_of_slot(first)) continue;  // later days may have late calls
    if (cancelled && cancelled())
      return net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
    const auto read = each_edge_row(*reader_, day, first, last, [&, day](const EdgeRow& row) {
      if (counted.empty() || !counted.contains({SlotKey{row.slot, day}, row.names}))
        sum.add(row.slot, row.names, row.totals);
    });
    if (!read) return read.error();
  }
  return {};
}

net::Result<ServiceMap> SlottedEdgeStore::totals(uint64_t start_unix_nanos, uint64_t end_unix_nanos,
                                                 const std::function<bool()>& cancelled) const {
  EdgeSum sum(start_unix_nanos, end_unix_nanos);
  if (end_unix_nanos <= start_unix_nanos || reader_ == nullptr) return ServiceMap{};
  const auto first =
      static_cast<uint32_t>(std::min<uint64_t>(start_unix_nanos / kSlotNanos, UINT32_MAX - 1));
  const auto last =
      static_cast<uint32_t>(std::min<uint64_t>((end_unix_nanos - 1) / kSlotNanos, UINT32_MAX - 1));
  // A few slots at a time: the commit thread waits for the same lock. From the oldest on, which
  // alone may leave the memory in between.
  uint32_t memory_begin = UINT32_MAX;
  std::set<std::pair<SlotKey, EdgeNames>> counted;  // of slots that are read from the disk, too
  for (SlotKey next{first, Family{0}}; next.slot <= last;) {
    const std::lock_guard lock(mutex_);
    settle_hot();
    memory_begin = std::min(memory_begin, first_in_memory_);
    auto slot = slots_.lower_bound(next);
    for (int taken = 0; taken < kSlotsAtATime && slot != slots_.end() && slot->first.slot <= last;
         ++taken, ++slot) {
      for (const auto& [names, totals] : slot->second) {
        sum.add(slot->first.slot, names, totals);
        if (slot->first.slot < memory_begin) counted.emplace(slot->first, names);
      }
    }
    if (slot == slots_.end()) break;
    next = slot->first;
  }
  if (first < memory_begin) {
    const auto read =
        add_from_disk(first, std::min(last, memory_begin - 1), counted, cancelled, sum);
    if (!read) return read.error();
  }
  return ServiceMap{sum.take(), {}};
}

}  // namespace

std::unique_ptr<ServiceEdgeStore> make_service_edge_store() {
  return std::make_unique<SlottedEdgeStore>();
}

}  // namespace hms::collector
