// route_learner.h: names a route without anyone having written one: "/claims/4711" becomes
// "/claims/{id}".
//
// A trie of path segments per service. A segment that is a number, UUID, hex text, date, e-mail or
// long random text becomes a placeholder at once; a node that grows more than 32 different literal
// children becomes `{value}`. New templates are only learned from replies that were not 404, so a
// scanner names nothing. Limits: 200 templates a service at a time, 400 ever, those included
// that went when names turned out to be values (beyond: "other", counted), 64 services, 16
// segments, 64 bytes a literal; a cache of 2,048 paths makes the hot path one look-up. Worst-case
// memory about 1 MiB a worker. Thread: the worker's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/recorder.h"

namespace hms::proxy {

/// The placeholder of a variable segment ("{id}", "{uuid}", "{hex}", "{date}", "{email}",
/// "{token}"), or an empty view for a literal one.
[[nodiscard]] std::string_view placeholder_of(std::string_view segment) noexcept;

/// Templates by service, in the order in which they were learned there.
using LearnedRoutes = std::vector<std::pair<std::string, std::vector<std::string>>>;
using LearnedRoutesPtr = std::shared_ptr<const LearnedRoutes>;

class RouteLearner {
 public:
  static constexpr size_t kMaxTemplates = 200;
  static constexpr size_t kMaxNames = 400;  // their series stay when templates are folded
  static constexpr size_t kMaxChildren = 32;
  static constexpr size_t kMaxServices = 64;
  static constexpr size_t kMaxSegments = 16;
  static constexpr size_t kMaxLiteral = 64;

  explicit RouteLearner(telemetry::NameTable& names);
  ~RouteLearner();

  /// NameTable index of the route of `path` (no query) in `service` ("" is the service beside the
  /// proxy). `may_learn`: the reply was not a 404.
  [[nodiscard]] uint32_t route(std::string_view service, std::string_view path, bool may_learn);

  [[nodiscard]] uint64_t folded() const noexcept {
    return folded_;
  }  // requests counted under "other"
  [[nodiscard]] std::vector<std::string> templates() const;

  // Several workers learn together: what is new here goes to one learner of all, and what that one
  // knows comes back and replaces what was learned here.
  /// Paths ("service\0path") that taught something since the last call; at most 256 are kept.
  [[nodiscard]] std::vector<std::string> take_news();
  void learn(const std::string& news);
  [[nodiscard]] LearnedRoutes learned() const;
  void adopt(const LearnedRoutes& routes);

 private:
  struct Node;
  struct Service;
  struct CacheEntry {
    uint64_t hash = 0;
    uint32_t route = 0;
    uint32_t generation = 0;
  };
  static constexpr size_t kMaxNews = 256;
  static constexpr size_t kMaxNewsBytes = 1'024;
  static constexpr size_t kCacheEntries = 2'048;

  Service* service_of(std::string_view name);
  uint32_t look_up(Service& service, std::string_view path, bool may_learn);
  uint32_t settle_leaf(Service& service, Node& leaf, const std::string& name);

  telemetry::NameTable& names_;
  std::vector<std::unique_ptr<Service>> services_;
  // By service: hashes of the names it ever had here. Kept when `adopt` replaces the services.
  std::map<std::string, std::set<uint64_t>, std::less<>> named_;
  std::vector<CacheEntry> cache_;
  uint32_t generation_ = 1;
  uint32_t other_;
  uint64_t seed_;
  uint64_t folded_ = 0;
  std::vector<std::string> news_;
};

}  // namespace hms::proxy
