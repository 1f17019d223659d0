#include "proxy/tls_sources.h"

#include <algorithm>

#include "net/core/check.h"

namespace hms::proxy {

net::Result<TlsSources::Entry> TlsSources::open(const net::TlsSettings& settings) const {
  for (const Entry& entry : entries_) {
    if (entry.source->settings() == settings) return Entry(entry);
  }
  auto source = net::TlsSource::open(settings);
  if (!source.ok()) return source.error();
  Entry entry{std::move(source).value(), nullptr};
  if (loop_ != nullptr) entry.watch = net::TlsWatch::watch(*loop_, entry.source);
  return entry;
}

void check_tls(const Config& config, net::YamlErrors& errors) {
  const auto check = [&](const std::optional<net::TlsSettings>& settings,
                         const net::YamlPlace& place) {
    if (!settings) return;
    if (auto opened = net::TlsSource::open(*settings); !opened.ok())
      errors.add(place, opened.error().detail);
  };
  check(config.inbound_tls, config.inbound_tls_place);
  check(config.collector_tls, config.collector_tls_place);
  for (const UpstreamConfig& upstream : config.upstreams) check(upstream.tls, upstream.place);
}

net::Result<void> TlsSources::take(const Config& config) {
  std::vector<Entry> next;
  const auto add = [&](const std::optional<net::TlsSettings>& settings,
                       const std::string& key) -> net::Result<void> {
    if (!settings) return {};
    const bool there = std::any_of(next.begin(), next.end(), [&](const Entry& entry) {
      return entry.source->settings() == *settings;
    });
    if (there) return {};
    auto opened = open(*settings);
    if (!opened.ok()) {
      net::Error error = opened.error();
      error.detail = key + ": " + error.detail;
      return error;
    }
    next.push_back(std::move(opened).value());
    return {};
  };
  if (auto added = add(config.inbound_tls, "listeners.inbound.tls"); !added.ok()) return added;
  if (auto added = add(config.collector_tls, "collector.tls"); !added.ok()) return added;
  for (const UpstreamConfig& upstream : config.upstreams) {
    if (auto added = add(upstream.tls, "upstreams." + upstream.name + ".tls"); !added.ok())
      return added;
  }
  entries_ = std::move(next);
  return {};
}

std::shared_ptr<net::TlsSource> TlsSources::find(
    const std::optional<net::TlsSettings>& settings) const {
  if (!settings) return nullptr;
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.source->settings() == *settings;
  });
  HMS_ENSURE(found != entries_.end());  // `take` comes first
  return found->source;
}

}  // namespace hms::proxy
