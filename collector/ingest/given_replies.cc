#include "collector/ingest/given_replies.h"

namespace hms::collector {

std::string GivenReplies::key_of(const std::string& batch_identity) {
  if (batch_identity.empty()) return {};
  const auto identity = parse_batch_identity(batch_identity);
  if (!identity.ok()) return {};
  return identity->instance + "/" + std::to_string(identity->boot) + "/" +
         std::to_string(identity->sequence);
}

void GivenReplies::remember(const std::string& key, const IngestReply& reply) {
  if (key.empty() || reply.body.size() > kMaxBytes) return;
  if (!replies_.emplace(key, reply).second) return;
  order_.push_back(key);
  bytes_ += reply.body.size();
  while (order_.size() > kMaxReplies || bytes_ > kMaxBytes) {
    const auto oldest = replies_.find(order_.front());
    bytes_ -= oldest->second.body.size();
    replies_.erase(oldest);
    order_.pop_front();
  }
}

const IngestReply* GivenReplies::find(const std::string& key) const {
  const auto it = key.empty() ? replies_.end() : replies_.find(key);
  return it == replies_.end() ? nullptr : &it->second;
}

}  // namespace hms::collector
