#include "net/http/client_pool.h"

#include <algorithm>
#include <utility>

namespace hms::net {

class ClientPool::Idle final : public StreamHandler {
 public:
  Idle(ClientPool& pool, std::string origin, std::unique_ptr<Stream> stream, uint64_t since)
      : pool_(pool), origin_(std::move(origin)), stream_(std::move(stream)), since_(since) {
    stream_->set_handler(this);
  }
  void on_bytes(std::string_view) override { pool_.remove(this); }
  void on_eof() override { pool_.remove(this); }
  void on_closed(const Error&) override { pool_.remove(this); }

  std::unique_ptr<Stream> release() {
    stream_->pause_reading();
    stream_->set_handler(nullptr);
    return std::move(stream_);
  }
  void silence() { stream_->set_handler(nullptr); }
  [[nodiscard]] const std::string& origin() const { return origin_; }
  [[nodiscard]] uint64_t since() const { return since_; }
  [[nodiscard]] bool usable() const { return stream_->idle_and_open(); }

 private:
  ClientPool& pool_;
  std::string origin_;
  std::unique_ptr<Stream> stream_;
  uint64_t since_;  // loop milliseconds
};

ClientPool::ClientPool(Loop& loop) : loop_(loop), sweep_timer_(loop, [this] { sweep(); }) {}
ClientPool::~ClientPool() = default;

std::unique_ptr<Stream> ClientPool::take(const std::string& origin) {
  const auto place = idle_.find(origin);
  if (place == idle_.end()) return nullptr;
  std::unique_ptr<Stream> found;
  while (!place->second.empty() && found == nullptr) {
    const std::unique_ptr<Idle> last = std::move(place->second.back());
    place->second.pop_back();
    --size_;
    if (last->usable()) found = last->release();
  }
  if (place->second.empty()) idle_.erase(place);
  return found;
}

void ClientPool::give(const std::string& origin, std::unique_ptr<Stream> stream) {
  if (size_ >= kInAll) {
    stream->set_handler(nullptr);
    loop_.retire(std::move(stream));  // we may be inside its callback
    return;
  }
  auto& list = idle_[origin];
  if (list.size() >= kPerOrigin) {
    list.front()->silence();
    loop_.retire(std::move(list.front()));
    list.erase(list.begin());
    --size_;
  }
  list.push_back(std::make_unique<Idle>(*this, origin, std::move(stream), loop_.now_millis()));
  ++size_;
  if (!sweep_timer_.armed()) sweep_timer_.arm(kIdleTime);
}

void ClientPool::remove(Idle* idle) {
  const auto place = idle_.find(idle->origin());
  if (place == idle_.end()) return;
  auto& list = place->second;
  const auto at = std::find_if(list.begin(), list.end(),
                               [&](const auto& owned) { return owned.get() == idle; });
  if (at == list.end()) return;
  idle->silence();
  loop_.retire(std::move(*at));
  list.erase(at);
  --size_;
  if (list.empty()) idle_.erase(place);
}

void ClientPool::sweep() {
  const uint64_t limit = loop_.now_millis();
  const auto idle_for = static_cast<uint64_t>(kIdleTime.count());
  std::vector<Idle*> old;
  uint64_t next = idle_for;
  for (const auto& [origin, list] : idle_) {
    for (const auto& idle : list) {
      const uint64_t age = limit - idle->since();
      if (age >= idle_for) {
        old.push_back(idle.get());
      } else {
        next = std::min(next, idle_for - age);
      }
    }
  }
  for (Idle* idle : old) remove(idle);
  if (size_ > 0) sweep_timer_.arm(Millis{static_cast<int64_t>(next)});
}

}  // namespace hms::net
