#include "proxy/name_keeper.h"

#include <algorithm>

#include "net/core/log.h"

namespace hms::proxy {

namespace {
constexpr net::Millis kEvery{5'000};
constexpr size_t kMaxAddresses = 64;
}  // namespace

NameKeeper::NameKeeper(net::Loop& loop, std::function<void()> on_change)
    : loop_(loop), on_change_(std::move(on_change)), timer_(loop, [this] { refresh(); }) {}

void NameKeeper::watch(const std::vector<net::HostPort>& names) {
  std::map<std::string, Entry> next;
  for (const net::HostPort& target : names) {
    const std::string key = text_of(target);
    if (auto known = entries_.find(key); known != entries_.end())
      next.emplace(key, std::move(known->second));
    else
      next.emplace(key, Entry{target, nullptr, false});
  }
  entries_ = std::move(next);
  for (auto& [key, entry] : entries_) {
    if (!entry.answered && !entry.running) look_up(key, entry);
  }
  if (!entries_.empty() && !timer_.armed()) timer_.arm(kEvery);
}

bool NameKeeper::settled() const noexcept {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const auto& pair) { return pair.second.answered; });
}

void NameKeeper::look_up(const std::string& key, Entry& entry) {
  entry.running = net::Resolver::resolve(
      loop_, entry.target, [this, key](net::Result<std::vector<net::SocketAddress>> found) {
        const auto at = entries_.find(key);
        if (at == entries_.end()) return;
        loop_.retire(std::move(at->second.running));
        const bool first = !at->second.answered;
        at->second.answered = true;
        if (!found.ok() || found->empty()) {
          if (first)
            net::log_warn("name does not resolve", {{"name", key},
                                                    {"error", found.ok() ? std::string("no address")
                                                                         : found.error().detail}});
          return;
        }
        std::vector<net::SocketAddress> addresses = std::move(found).value();
        if (addresses.size() > kMaxAddresses) addresses.resize(kMaxAddresses);
        // Resolvers rotate their answers: only another set is news.
        std::sort(addresses.begin(), addresses.end(),
                  [](const auto& a, const auto& b) { return a.to_string() < b.to_string(); });
        addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
        auto& known = resolved_[key];
        if (known == addresses) return;
        known = std::move(addresses);
        on_change_();
      });
}

void NameKeeper::refresh() {
  for (auto& [key, entry] : entries_) {
    if (!entry.running) look_up(key, entry);
  }
  if (!entries_.empty()) timer_.arm(kEvery);
}

}  // namespace hms::proxy
