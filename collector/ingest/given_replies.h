// given_replies.h: what senders were answered to their numbered batches, so that a batch that comes
// again is answered like the first time, whatever it holds then.
//
// Limits: the newest kMaxReplies, and kMaxBytes of their bodies; none survives a restart. A repeat
// beyond that is answered from what it holds, which of an honest sender is the same. Thread: one
// owner.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "collector/ingest/receiver.h"

namespace hms::collector {

class GivenReplies {
 public:
  static constexpr size_t kMaxReplies = 20'000;
  static constexpr size_t kMaxBytes = 8 * 1024 * 1024;

  /// Of an `x-hms-batch` header; empty when there is none, or a wrong one.
  [[nodiscard]] static std::string key_of(const std::string& batch_identity);

  void remember(const std::string& key, const IngestReply& reply);
  /// Null: not known. Until the next `remember`.
  [[nodiscard]] const IngestReply* find(const std::string& key) const;

 private:
  std::unordered_map<std::string, IngestReply> replies_;
  std::deque<std::string> order_;  // oldest first
  size_t bytes_ = 0;
};

}  // namespace hms::collector
