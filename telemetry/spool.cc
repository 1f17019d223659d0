// spool.cc: see spool.h.
#include "telemetry/spool.h"

#include <algorithm>

namespace hms::telemetry {

Spool::Spool(uint64_t max_bytes) : max_bytes_(max_bytes) {}

void Spool::add(SpooledBatch batch) {
  ++counters_.batches_added;
  counters_.records_added += batch.records;
  const uint64_t pinned_bytes =
      front_pinned_ && !batches_.empty() ? batches_.front().body.size() : 0;
  if (batch.body.size() > max_bytes_ - std::min(max_bytes_, pinned_bytes)) {
    count_lost("too_large", batch);
    return;
  }
  while (!batches_.empty() && counters_.bytes + batch.body.size() > max_bytes_) drop_oldest();
  counters_.bytes += batch.body.size();
  batches_.push_back(std::move(batch));
  counters_.batches = batches_.size();
}

const SpooledBatch* Spool::front() const noexcept {
  return batches_.empty() ? nullptr : &batches_.front();
}

void Spool::pin_front(bool pinned) noexcept { front_pinned_ = pinned; }

void Spool::acknowledge_front(uint64_t rejected_records) {
  if (batches_.empty()) return;
  const SpooledBatch& batch = batches_.front();
  const uint64_t rejected = std::min(rejected_records, batch.records);
  ++counters_.batches_acknowledged;
  counters_.records_acknowledged += batch.records - rejected;
  if (rejected > 0) {
    counters_.dropped_records["rejected"] += rejected;
    counters_.dropped_by_signal[static_cast<size_t>(batch.signal)] += rejected;
  }
  remove(batches_.begin());
}

void Spool::drop_front(const std::string& reason) {
  if (batches_.empty()) return;
  count_lost(reason, batches_.front());
  remove(batches_.begin());
}

void Spool::count_dropped(const std::string& reason, uint64_t records) {
  if (records > 0) counters_.dropped_records[reason] += records;
}

const SpoolCounters& Spool::counters() const noexcept { return counters_; }

void Spool::drop_oldest() {
  auto first = batches_.begin();
  if (front_pinned_) ++first;  // it is on its way: dropping it would count what may have arrived
  if (first == batches_.end()) return;
  auto oldest = std::find_if(first, batches_.end(),
                             [](const SpooledBatch& b) { return b.signal == Signal::traces; });
  if (oldest == batches_.end()) oldest = first;
  count_lost("spool_full", *oldest);
  remove(oldest);
}

void Spool::remove(std::deque<SpooledBatch>::iterator at) {
  if (at == batches_.begin()) front_pinned_ = false;
  counters_.bytes -= at->body.size();
  batches_.erase(at);
  counters_.batches = batches_.size();
}

void Spool::count_lost(const std::string& reason, const SpooledBatch& batch) {
  counters_.dropped_records[reason] += batch.records;
  counters_.dropped_by_signal[static_cast<size_t>(batch.signal)] += batch.records;
}

}  // namespace hms::telemetry
