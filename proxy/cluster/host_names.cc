#include "proxy/cluster/host_names.h"

#include <algorithm>
#include <utility>

namespace hms::proxy {

namespace {
constexpr size_t kMostNames = 1'024;
constexpr size_t kMostRunning = 64;
constexpr uint64_t kKeepMillis = 5'000;
constexpr uint64_t kKeepFailureMillis = 1'000;
constexpr net::Millis kTimeout{5'000};

net::Error lookup_error(std::string detail) {
  return {net::Code::resolve_failed, net::Side::upstream, true, std::move(detail)};
}

}  // namespace

struct HostNames::Entry {
  Entry(net::Loop& loop, std::function<void()> on_timeout) : timeout(loop, std::move(on_timeout)) {}

  std::unique_ptr<net::Resolver> running;
  net::Timer timeout;
  std::vector<Waiter*> waiting;
  bool answering = false;
  Answer answer = lookup_error("not looked up");
  uint64_t until_millis = 0;
  std::optional<net::SocketAddress> preferred;

  [[nodiscard]] bool busy() const noexcept { return running != nullptr || answering; }
  void put_preferred_first() {
    if (!answer.ok() || !preferred) return;
    const auto at = std::find(answer->begin(), answer->end(), *preferred);
    if (at != answer->end()) std::rotate(answer->begin(), at, at + 1);
  }
};

// === Waiter

HostNames::Waiter::Waiter(Entry& entry, std::function<void(const Answer&)> done)
    : entry_(&entry), done_(std::move(done)) {
  entry.waiting.push_back(this);
}

HostNames::Waiter::~Waiter() {
  if (entry_ != nullptr) std::erase(entry_->waiting, this);
}

// === HostNames

HostNames::HostNames(net::Loop& loop, Counters& count, LookUp look_up)
    : loop_(loop), count_(count), look_up_(std::move(look_up)) {
  if (!look_up_) {
    look_up_ = [this](const net::HostPort& target, net::Resolver::OnResolved on_resolved) {
      return net::Resolver::resolve(loop_, target, std::move(on_resolved));
    };
  }
}

HostNames::~HostNames() {
  for (auto& [name, entry] : entries_) {
    for (Waiter* waiter : entry.waiting) waiter->entry_ = nullptr;
  }
}

const HostNames::Answer* HostNames::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found != entries_.end() && found->second.until_millis > loop_.now_millis()
             ? &found->second.answer
             : nullptr;
}

std::unique_ptr<HostNames::Waiter> HostNames::ask(const std::string& name,
                                                  const net::HostPort& target,
                                                  std::function<void(const Answer&)> done) {
  auto found = entries_.find(name);
  const bool joins = found != entries_.end() && found->second.running != nullptr;
  if (!joins && running_ >= kMostRunning) {
    ++count_.lookups_refused;
    return nullptr;
  }
  if (found == entries_.end()) {
    if (entries_.size() >= kMostNames) make_room();
    found = entries_
                .try_emplace(name, loop_,
                             [this, name] {
                               ++count_.lookups_timed_out;
                               Entry& late = entries_.at(name);
                               answer(late, lookup_error(name + ": no answer within 5 s"),
                                      kKeepFailureMillis);
                             })
                .first;
  }
  if (!joins) start(name, found->second, target);
  return std::unique_ptr<Waiter>(new Waiter(found->second, std::move(done)));
}

void HostNames::start(const std::string& name, Entry& entry, const net::HostPort& target) {
  ++running_;
  entry.timeout.arm(kTimeout);
  entry.running = look_up_(target, [this, &entry, name](Answer found) {
    const bool good = found.ok() && !found->empty();
    ++(good ? count_.lookups_answered : count_.lookups_failed);
    if (found.ok() && !good) found = lookup_error(name + ": has no address");
    answer(entry, std::move(found), good ? kKeepMillis : kKeepFailureMillis);
  });
}

void HostNames::answer(Entry& entry, Answer found, uint64_t keep_millis) {
  --running_;
  loop_.retire(std::move(entry.running));
  entry.timeout.disarm();
  entry.answer = std::move(found);
  entry.put_preferred_first();
  entry.until_millis = loop_.now_millis() + keep_millis;
  entry.answering = true;  // it stays while the callbacks ask for other names
  while (!entry.waiting.empty()) {
    Waiter* const waiter = entry.waiting.back();
    entry.waiting.pop_back();
    waiter->entry_ = nullptr;
    const auto done = std::move(waiter->done_);
    done(entry.answer);  // may destroy the waiter, and others
  }
  entry.answering = false;
}

void HostNames::make_room() {
  std::erase_if(entries_, [](const auto& pair) { return !pair.second.busy(); });
}

const net::SocketAddress* HostNames::after(const std::string& name,
                                           const net::SocketAddress& failed) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.answer.ok()) return nullptr;
  const Addresses& all = *found->second.answer;
  const auto at = std::find(all.begin(), all.end(), failed);
  if (at == all.end() || all.size() == 1) return nullptr;
  return at + 1 == all.end() ? &all.front() : &*(at + 1);
}

void HostNames::prefer(const std::string& name, const net::SocketAddress& address) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  found->second.preferred = address;
  found->second.put_preferred_first();
}

}  // namespace hms::proxy
