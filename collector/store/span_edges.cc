#include "collector/store/span_edges.h"

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"
#include "collector/store/span_index.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanKind;

constexpr uint64_t kSlotNanos = 10'000'000'000ULL;
constexpr uint32_t kSlotsInMemory = 720;  // two hours
constexpr int kSlotsAtATime = 16;
constexpr size_t kMaxRowsPerSlot = 5'000;
constexpr size_t kMaxRemembered = 200'000;
constexpr uint64_t kRememberNanos = 60'000'000'000ULL;

using Names = std::pair<std::string, std::string>;  // from, to
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
  return !in.failed();
}

/// Spans that were seen lately, by id: to find a parent's service, or the children that wait for
/// it. Oldest first out.
template <class Value>
class Remembered {
 public:
  void put(const SpanId& id, Value value, uint64_t now) {
    values_.emplace(id, std::move(value));
    order_.emplace_back(now, id);
  }
  std::unordered_multimap<SpanId, Value>& values() { return values_; }
  void trim(uint64_t now) {
    while (!order_.empty() &&
           (order_.size() > kMaxRemembered || order_.front().first + kRememberNanos < now)) {
      if (const auto it = values_.find(order_.front().second); it != values_.end())
        values_.erase(it);
      order_.pop_front();
    }
  }

 private:
  std::unordered_multimap<SpanId, Value> values_;
  std::deque<std::pair<uint64_t, SpanId>> order_;
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
    uint32_t slot;
    std::string to;
    double seconds;
    bool error;
  };
  void add_span(const telemetry::TraceBatch& batch, const telemetry::SpanView& span,
                uint64_t arrived);
  void count(const std::string& from, const Call& call);
  static net::Result<void> read_slots(
      const KvReader& reader, Family day, uint32_t first, uint32_t last,
      const std::function<void(uint32_t, Names, EdgeTotals)>& visit);

  const KvReader* reader_ = nullptr;
  mutable std::mutex mutex_;
  std::map<uint32_t, Slot> slots_;
  uint32_t first_in_memory_ = 0;
  std::set<std::pair<uint32_t, Names>> dirty_;
  Remembered<std::string> parents_;  // span -> its service
  Remembered<Call> waiting_;         // parent span -> calls whose caller is not known yet
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

void SlottedEdgeStore::count(const std::string& from, const Call& call) {
  if (call.slot < first_in_memory_) return;  // its slot is closed: too late for the map
  Slot& slot = slots_[call.slot];
  Names names(from, call.to);
  auto it = slot.find(names);
  if (it == slot.end()) {
    if (slot.size() >= kMaxRowsPerSlot) return;
    it = slot.try_emplace(names).first;
  }
  ++it->second.requests;
  it->second.errors += call.error ? 1 : 0;
  it->second.duration.record(call.seconds);
  dirty_.emplace(call.slot, std::move(names));
}

void SlottedEdgeStore::add_span(const telemetry::TraceBatch& batch, const telemetry::SpanView& span,
                                uint64_t arrived) {
  const std::string_view name = batch.resources[span.resource].service_name;
  const std::string service(name.substr(0, name.find('\0')));
  // Calls that waited for this span as their parent.
  auto [first, last] = waiting_.values().equal_range(span.span_id);
  for (auto it = first; it != last; ++it) {
    if (it->second.to != service) count(service, it->second);
  }
  waiting_.values().erase(first, last);
  parents_.put(span.span_id, service, arrived);

  const bool serves = span.kind == SpanKind::server || span.kind == SpanKind::consumer;
  const bool untyped_root = span.kind == SpanKind::unspecified && span.parent_span_id.is_zero();
  const uint64_t nanos =
      span.end_unix_nanos > span.start_unix_nanos ? span.end_unix_nanos - span.start_unix_nanos : 0;
  const uint64_t when = std::min(span.start_unix_nanos + nanos,
                                 arrived);  // a clock ahead of ours must not open slots to come
  Call call{static_cast<uint32_t>(when / kSlotNanos), service, static_cast<double>(nanos) * 1e-9,
            span.status == telemetry::SpanStatus::error};
  if (serves || untyped_root) count("", call);
  if (span.parent_span_id.is_zero() || !(serves || span.kind == SpanKind::unspecified)) return;
  const auto parent = parents_.values().find(span.parent_span_id);
  if (parent == parents_.values().end()) {
    waiting_.put(span.parent_span_id, std::move(call), arrived);
  } else if (parent->second != service) {
    count(parent->second, call);
  }
}

void SlottedEdgeStore::committed(std::span<const AcceptedBatch> group) {
  const std::lock_guard lock(mutex_);
  for (const AcceptedBatch& batch : group) {
    if (!batch.traces) continue;
    for (const telemetry::SpanView& span : batch.traces->spans)
      add_span(*batch.traces, span, batch.arrived_unix_nanos);
    parents_.trim(batch.arrived_unix_nanos);
    waiting_.trim(batch.arrived_unix_nanos);
  }
}

void SlottedEdgeStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  const std::lock_guard lock(mutex_);
  for (const auto& [slot, names] : dirty_) {
    const auto found = slots_.find(slot);
    if (found != slots_.end())
      writer.put(family_of_slot(slot), edge_key(slot, names), encode(found->second[names]));
  }
  dirty_.clear();
  const auto now = static_cast<uint32_t>(now_unix_nanos / kSlotNanos);
  if (now > kSlotsInMemory && now - kSlotsInMemory > first_in_memory_)
    first_in_memory_ = now - kSlotsInMemory;
  slots_.erase(slots_.begin(), slots_.lower_bound(first_in_memory_));
}

net::Result<std::vector<ServiceEdge>> SlottedEdgeStore::totals(uint64_t start_unix_nanos,
                                                               uint64_t end_unix_nanos) const {
  Slot sum;
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
    memory_begin = std::min(memory_begin, first_in_memory_);
    auto slot = slots_.lower_bound(next);
    for (int taken = 0; taken < kSlotsAtATime && slot != slots_.end() && slot->first <= last;
         ++taken, ++slot) {
      for (const auto& [names, totals] : slot->second) sum[names].merge(totals);
    }
    if (slot == slots_.end()) break;
    next = slot->first;
  }
  if (first < memory_begin) {
    const uint32_t disk_last = std::min(last, memory_begin - 1);
    for (const Family day : reader_->days()) {
      if (day < family_of_slot(first) || family_of_slot(disk_last) < day) continue;
      const auto read = read_slots(*reader_, day, first, disk_last,
                                   [&sum](uint32_t, Names names, EdgeTotals totals) {
                                     sum[std::move(names)].merge(totals);
                                   });
      if (!read) return read.error();
    }
  }
  std::vector<ServiceEdge> edges;
  edges.reserve(sum.size());
  for (auto& [names, totals] : sum) edges.push_back({names.first, names.second, std::move(totals)});
  return edges;
}

}  // namespace

void EdgeTotals::merge(const EdgeTotals& other) {
  requests += other.requests;
  errors += other.errors;
  duration.merge(other.duration);
}

std::unique_ptr<ServiceEdgeStore> make_service_edge_store() {
  return std::make_unique<SlottedEdgeStore>();
}

}  // namespace hms::collector
