#include "collector/store/span_edges.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"
#include "collector/store/span_index.h"
#include "collector/store/span_parents.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanKind;

constexpr uint64_t kSecondNanos = 1'000'000'000ULL;
constexpr uint32_t kSecondsPerSlot = 10;
constexpr uint64_t kSlotNanos = kSecondsPerSlot * kSecondNanos;
constexpr uint32_t kSlotsInMemory = 720;  // two hours
constexpr int kSlotsAtATime = 16;
constexpr size_t kMaxRowsPerSlot = 5'000;
constexpr size_t kMaxWaiting = 200'000;
constexpr size_t kMaxNames = 20'000;
constexpr size_t kExpectAhead = 12;  // spans: longer than a look into the memory takes

using Names = std::pair<std::string, std::string>;  // from, to

/// Of one node or edge in one slot.
struct EdgeTotals {
  uint64_t requests = 0, errors = 0;
  telemetry::Histogram duration;
  std::array<uint32_t, kSecondsPerSlot> requests_of{}, errors_of{};  // by second
};
using Slot = std::map<Names, EdgeTotals>;

std::string edge_key(uint32_t slot, const Names& names) {
  std::string key = table_key(Table::service_edge);
  append_be32(key, slot);
  key.append(names.first).push_back('\0');
  key.append(names.second);
  return key;
}

Family family_of_slot(uint32_t slot) { return Family::of_unix_nanos(slot * kSlotNanos); }

std::string encode(const EdgeTotals& totals) {
  ColumnWriter out;
  out.varint(totals.requests);
  out.varint(totals.errors);
  out.real(totals.duration.sum);
  out.varint(totals.duration.zero_count);
  out.varint(totals.duration.positive.size());
  int64_t last = 0;
  for (const auto& bucket : totals.duration.positive) {
    out.zigzag(bucket.index - last);
    out.varint(bucket.count);
    last = bucket.index;
  }
  for (const uint32_t count : totals.requests_of) out.varint(count);
  for (const uint32_t count : totals.errors_of) out.varint(count);
  return out.bytes();
}

bool decode(std::string_view value, EdgeTotals& totals) {
  ColumnReader in(value);
  totals.requests = in.varint();
  totals.errors = in.varint();
  totals.duration.sum = in.real();
  totals.duration.zero_count = totals.duration.count = in.varint();
  int64_t last = 0;
  for (size_t n = in.count(2); n > 0 && !in.failed(); --n) {
    last += in.zigzag();
    const uint64_t count = in.varint();
    if (last < INT32_MIN || last > INT32_MAX) return false;
    totals.duration.positive.push_back({static_cast<int32_t>(last), count});
    totals.duration.count += count;
  }
  if (in.rest().empty()) return !in.failed();  // written before seconds were kept
  for (uint32_t& count : totals.requests_of) count = static_cast<uint32_t>(in.varint());
  for (uint32_t& count : totals.errors_of) count = static_cast<uint32_t>(in.varint());
  return !in.failed();
}

/// How much of [from, to) is within [start, end), 0 to 1.
double part_within(uint64_t from, uint64_t to, uint64_t start, uint64_t end) {
  const uint64_t begin = std::max(from, start), stop = std::min(to, end);
  return stop <= begin ? 0 : static_cast<double>(stop - begin) / static_cast<double>(to - from);
}

/// Sums rows over a range.
class RangeSum {
 public:
  RangeSum(uint64_t start, uint64_t end) : start_(start), end_(end) {}

  void add(uint32_t slot, const Names& names, const EdgeTotals& totals) {
    const uint64_t begin = slot * kSlotNanos;
    double requests = 0, errors = 0;
    const bool whole = begin >= start_ && begin + kSlotNanos <= end_;
    const bool by_second = std::any_of(totals.requests_of.begin(), totals.requests_of.end(),
                                       [](uint32_t count) { return count > 0; });
    if (whole || !by_second) {
      const double part = part_within(begin, begin + kSlotNanos, start_, end_);
      requests = static_cast<double>(totals.requests) * part;
      errors = static_cast<double>(totals.errors) * part;
    } else {
      for (size_t i = 0; i < kSecondsPerSlot; ++i) {
        const uint64_t second = begin + i * kSecondNanos;
        const double part = part_within(second, second + kSecondNanos, start_, end_);
        requests += totals.requests_of[i] * part;
        errors += totals.errors_of[i] * part;
      }
    }
    if (requests == 0) return;
    ServiceEdge& edge = sum_[names];
    edge.requests += requests;
    edge.errors += errors;
    edge.duration.merge(totals.duration);
  }

  std::vector<ServiceEdge> take() {
    std::vector<ServiceEdge> edges;
    edges.reserve(sum_.size());
    for (auto& [names, edge] : sum_) {
      edge.from = names.first;
      edge.to = names.second;
      edges.push_back(std::move(edge));
    }
    return edges;
  }

 private:
  const uint64_t start_, end_;
  std::map<Names, ServiceEdge> sum_;
};

class SlottedEdgeStore final : public ServiceEdgeStore {
 public:
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch>, KvWriter&) override {}
  void committed(std::span<const AcceptedBatch> group) override;
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void forget_day(Family) override {}
  net::Result<std::vector<ServiceEdge>> totals(uint64_t start_unix_nanos,
                                               uint64_t end_unix_nanos) const override;

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
  struct RowKey {
    uint32_t slot, from, to;
    bool operator==(const RowKey&) const = default;
  };
  struct RowHash {
    size_t operator()(const RowKey& key) const noexcept {
      return (uint64_t{key.from} << 32 | key.to) * 0x9E3779B97F4A7C15ULL + key.slot;
    }
  };
  [[nodiscard]] std::vector<uint32_t> services_of(const telemetry::TraceBatch& batch);
  void answer_waiting(const telemetry::SpanId& parent, uint32_t service);
  void add_call(const telemetry::SpanView& span, uint32_t service, uint64_t arrived);
  void trim_waiting(uint32_t now_seconds);
  void count(uint32_t from, const Call& call);
  EdgeTotals* row(uint32_t from, const Call& call);
  void settle_hot() const;
  static net::Result<void> read_slots(
      const KvReader& reader, Family day, uint32_t first, uint32_t last,
      const std::function<void(uint32_t, Names, EdgeTotals)>& visit);

  const KvReader* reader_ = nullptr;
  mutable std::mutex mutex_;
  std::map<uint32_t, Slot> slots_;
  uint32_t first_in_memory_ = 0;
  std::set<std::pair<uint32_t, Names>> dirty_;
  SpanParents parents_;
  std::unordered_multimap<SpanId, Waiting> waiting_;  // calls whose caller is not known yet
  std::map<std::string, uint32_t, std::less<>> numbers_;
  std::vector<std::string> names_ = {""};  // by number
  /// A row that was counted in since it was last written, and what is not in its totals yet.
  struct HotRow {
    EdgeTotals* totals = nullptr;
    uint64_t errors = 0;
    telemetry::DenseHistogram durations;
  };
  mutable std::unordered_map<RowKey, HotRow, RowHash> hot_;
};

net::Result<void> SlottedEdgeStore::read_slots(
    const KvReader& reader, Family day, uint32_t first, uint32_t last,
    const std::function<void(uint32_t, Names, EdgeTotals)>& visit) {
  std::string begin = table_key(Table::service_edge), end = begin;
  append_be32(begin, first);
  append_be32(end, last + 1);
  return reader.scan(day, begin, end, [&visit](std::string_view key, std::string_view value) {
    const size_t from_end = key.find('\0', 5);
    EdgeTotals totals;
    if (from_end != key.npos && decode(value, totals)) {
      visit(read_be32(key.substr(1)),
            {std::string(key.substr(5, from_end - 5)), std::string(key.substr(from_end + 1))},
            std::move(totals));
    }
    return true;
  });
}

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
    const auto read = read_slots(reader, day, first_in_memory_, newest,
                                 [this](uint32_t slot, Names names, EdgeTotals totals) {
                                   slots_[slot][std::move(names)] = std::move(totals);
                                 });
    if (!read) return read.error();
  }
  return {};
}

EdgeTotals* SlottedEdgeStore::row(uint32_t from, const Call& call) {
  if (call.slot < first_in_memory_) return nullptr;  // its slot is closed: too late for the map
  Slot& slot = slots_[call.slot];
  Names names(names_[from], names_[call.to]);
  auto it = slot.find(names);
  if (it == slot.end()) {
    if (slot.size() >= kMaxRowsPerSlot) return nullptr;
    it = slot.try_emplace(names).first;
  }
  dirty_.emplace(call.slot, std::move(names));
  return &it->second;
}

void SlottedEdgeStore::count(uint32_t from, const Call& call) {
  const RowKey key{call.slot, from, call.to};
  auto hot = hot_.find(key);
  if (hot == hot_.end()) {
    EdgeTotals* const totals = row(from, call);
    if (totals == nullptr) return;
    hot = hot_.try_emplace(key).first;
    hot->second.totals = totals;
  }
  ++hot->second.totals->requests_of[call.second];
  hot->second.totals->errors_of[call.second] += call.error ? 1 : 0;
  hot->second.errors += call.error ? 1 : 0;
  hot->second.durations.record_nanos(call.nanos);
}

/// Before the totals are looked at.
void SlottedEdgeStore::settle_hot() const {
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
void SlottedEdgeStore::answer_waiting(const SpanId& parent, uint32_t service) {
  const auto [first, last] = waiting_.equal_range(parent);
  for (auto it = first; it != last; ++it) {
    if (it->second.call.to != service) count(service, it->second.call);
  }
  waiting_.erase(first, last);
}

void SlottedEdgeStore::add_call(const telemetry::SpanView& span, uint32_t service,
                                uint64_t arrived) {
  const bool serves = span.kind == SpanKind::server || span.kind == SpanKind::consumer;
  const bool root = span.parent_span_id.is_zero();
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
  const auto parent = parents_.find(span.parent_span_id, seconds);
  if (!parent) {
    if (waiting_.size() < kMaxWaiting)
      waiting_.emplace(span.parent_span_id, Waiting{call, seconds});
  } else if (*parent != service) {
    count(*parent, call);
  }
}

void SlottedEdgeStore::trim_waiting(uint32_t now_seconds) {
  std::erase_if(waiting_, [now_seconds](const auto& entry) {
    return entry.second.since_seconds + SpanParents::kRememberSeconds < now_seconds;
  });
}

void SlottedEdgeStore::committed(std::span<const AcceptedBatch> group) {
  const std::lock_guard lock(mutex_);
  size_t resources = 0;
  for (const AcceptedBatch& batch : group)
    resources += batch.traces ? batch.traces->resources.size() : 0;
  if (names_.size() + resources > kMaxNames) {
    // Names without end: forget them all, and who is whose parent with them.
    settle_hot();
    numbers_.clear();
    names_.resize(1);
    parents_.clear();
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
      if (i + kExpectAhead < spans.size()) parents_.expect(spans[i + kExpectAhead].span_id);
      const telemetry::SpanView& span = spans[i];
      parents_.put(span.span_id, of[span.resource], seconds);
      if (!waiting_.empty()) answer_waiting(span.span_id, of[span.resource]);
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    if (!group[i].traces) continue;
    for (const telemetry::SpanView& span : group[i].traces->spans)
      add_call(span, services[i][span.resource], group[i].arrived_unix_nanos);
  }
}

void SlottedEdgeStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  const std::lock_guard lock(mutex_);
  settle_hot();
  for (const auto& [slot, names] : dirty_) {
    const auto found = slots_.find(slot);
    if (found != slots_.end())
      writer.put(family_of_slot(slot), edge_key(slot, names), encode(found->second[names]));
  }
  dirty_.clear();
  hot_.clear();
  trim_waiting(static_cast<uint32_t>(now_unix_nanos / 1'000'000'000));
  const auto now = static_cast<uint32_t>(now_unix_nanos / kSlotNanos);
  if (now > kSlotsInMemory && now - kSlotsInMemory > first_in_memory_)
    first_in_memory_ = now - kSlotsInMemory;
  slots_.erase(slots_.begin(), slots_.lower_bound(first_in_memory_));
}

net::Result<std::vector<ServiceEdge>> SlottedEdgeStore::totals(uint64_t start_unix_nanos,
                                                               uint64_t end_unix_nanos) const {
  RangeSum sum(start_unix_nanos, end_unix_nanos);
  if (end_unix_nanos <= start_unix_nanos || reader_ == nullptr) return std::vector<ServiceEdge>{};
  const auto first =
      static_cast<uint32_t>(std::min<uint64_t>(start_unix_nanos / kSlotNanos, UINT32_MAX - 1));
  const auto last =
      static_cast<uint32_t>(std::min<uint64_t>((end_unix_nanos - 1) / kSlotNanos, UINT32_MAX - 1));
  // A few slots at a time: the commit thread waits for the same lock. From the oldest on, which
  // alone may leave the memory in between.
  uint32_t memory_begin = UINT32_MAX;
  for (uint32_t next = first; next <= last;) {
    const std::lock_guard lock(mutex_);
    settle_hot();
    memory_begin = std::min(memory_begin, first_in_memory_);
    auto slot = slots_.lower_bound(next);
    for (int taken = 0; taken < kSlotsAtATime && slot != slots_.end() && slot->first <= last;
         ++taken, ++slot) {
      for (const auto& [names, totals] : slot->second) sum.add(slot->first, names, totals);
    }
    if (slot == slots_.end()) break;
    next = slot->first;
  }
  if (first < memory_begin) {
    const uint32_t disk_last = std::min(last, memory_begin - 1);
    for (const Family day : reader_->days()) {
      if (day < family_of_slot(first) || family_of_slot(disk_last) < day) continue;
      const auto read = read_slots(*reader_, day, first, disk_last,
                                   [&sum](uint32_t of, const Names& names, const EdgeTotals& row) {
                                     sum.add(of, names, row);
                                   });
      if (!read) return read.error();
    }
  }
  return sum.take();
}

}  // namespace

std::unique_ptr<ServiceEdgeStore> make_service_edge_store() {
  return std::make_unique<SlottedEdgeStore>();
}

}  // namespace hms::collector
