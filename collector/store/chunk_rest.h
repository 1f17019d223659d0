// chunk_rest.h: what retention leaves of chunks, gathered until it fills one: a service that goes
// out of a day would else leave as many chunks as there were, each nearly empty.
//
// Lives within one step of the sweep: what it holds is removed from and written to the store in the
// same atomic write. Thread: the commit thread.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "collector/store/chunk_head.h"

namespace hms::collector {

/// `Source`: a record, with pointers into its batch.
template <class Batch, class Source>
class ChunkRest {
 public:
  /// Whether so much more fits into the same chunk.
  [[nodiscard]] bool has_room(size_t records, uint64_t weight) const noexcept {
    return records_.size() + records <= kRecordsPerChunk && weight_ + weight <= kChunkWeight;
  }
  void add(std::shared_ptr<const Batch> batch, const std::vector<Source>& kept, uint64_t weight) {
    batches_.push_back(std::move(batch));
    records_.insert(records_.end(), kept.begin(), kept.end());
    weight_ += weight;
  }
  [[nodiscard]] std::vector<Source>& records() noexcept { return records_; }
  void clear() {
    records_.clear();
    batches_.clear();
    weight_ = 0;
  }

 private:
  std::vector<std::shared_ptr<const Batch>> batches_;
  std::vector<Source> records_;
  uint64_t weight_ = 0;
};

}  // namespace hms::collector
