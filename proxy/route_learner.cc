#include "proxy/route_learner.h"

#include <algorithm>
#include <utility>

#include "net/core/random.h"

namespace hms::proxy {

namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_hex(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_number(std::string_view s) noexcept {
  if (s.size() > 1 && (s[0] == '-' || s[0] == '+')) s.remove_prefix(1);
  return !s.empty() && std::all_of(s.begin(), s.end(), is_digit);
}

bool is_uuid(std::string_view s) noexcept {
  if (s.size() != 36) return false;
  for (size_t i = 0; i < s.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? s[i] != '-' : !is_hex(s[i])) return false;
  }
  return true;
}

/// 2026-11-22, 2026-11, 2026-11-22T08:00:00Z and the like: digits of a year, then date characters.
bool is_date(std::string_view s) noexcept {
  if (s.size() < 7 || s[4] != '-') return false;
  for (size_t i = 0; i < s.size(); ++i) {
    const bool fits =
        i < 4 || i == 5 || i == 6
            ? is_digit(s[i])
            : is_digit(s[i]) || std::string_view("-T:.Zz+").find(s[i]) != std::string_view::npos;
    if (!fits) return false;
  }
  return s[0] == '1' || s[0] == '2';
}

/// Eight hex digits or more with at least one decimal digit ("deadbeef" may be a word; "defaced1"
/// hardly is).
bool is_hex_text(std::string_view s) noexcept {
  if (s.size() > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) s.remove_prefix(2);
  return s.size() >= 8 && std::all_of(s.begin(), s.end(), is_hex) &&
         (s.size() >= 16 || std::any_of(s.begin(), s.end(), is_digit));
}

bool is_email(std::string_view s) noexcept {
  const size_t at = s.find('@');
  const size_t encoded = s.find("%40");
  const size_t where = at != std::string_view::npos ? at : encoded;
  return where != std::string_view::npos && where > 0 &&
         s.find('.', where) != std::string_view::npos;
}

/// Long and random: 16 characters or more of the base64/base64url alphabet with digits and letters
/// mixed, changing kind often.
bool is_token(std::string_view s) noexcept {
  if (s.size() < 16) return false;
  size_t changes = 0, digits = 0, words = 0;
  int last = -1;
  size_t run = 0;
  for (const char c : s) {
    int kind = 0;
    if (is_digit(c))
      kind = 1, ++digits;
    else if (c >= 'a' && c <= 'z')
      kind = 2;
    else if (is_letter(c))
      kind = 3;
    else if (c == '-' || c == '_' || c == '.' || c == '=' || c == '~' || c == '+' || c == '%')
      kind = 4;
    else
      return false;
    if (kind != last && last != -1 && kind != 4 && last != 4) ++changes;
    run = kind == 2 && last == 2 ? run + 1 : 0;
    if (run == 4) ++words;  // five small letters in a row look like a word
    last = kind;
  }
  return changes * 5 >= s.size() && (digits > 0 || changes * 3 >= s.size()) &&
         words * 12 < s.size();
}

uint64_t hash_text(uint64_t seed, std::string_view text) noexcept {
  uint64_t hash = seed;
  while (text.size() >= 8) {
    uint64_t word;
    __builtin_memcpy(&word, text.data(), 8);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
    text.remove_prefix(8);
  }
  uint64_t rest = text.size();
  for (const char c : text) rest = (rest << 8) | static_cast<unsigned char>(c);
  hash = (hash ^ rest) * 0xBF58476D1CE4E5B9ULL;
  return hash ^ (hash >> 32);
}

}  // namespace

std::string_view placeholder_of(std::string_view segment) noexcept {
  if (segment.empty()) return {};
  if (is_number(segment)) return "{id}";
  if (is_uuid(segment)) return "{uuid}";
  if (is_date(segment)) return "{date}";
  if (is_hex_text(segment)) return "{hex}";
  if (is_email(segment)) return "{email}";
  if (is_token(segment) || segment.size() > RouteLearner::kMaxLiteral ||
      segment.find_first_of("{}\"\\") != std::string_view::npos)
    return "{token}";
  return {};
}

struct RouteLearner::Node {
  std::string segment;
  std::vector<std::unique_ptr<Node>>
      children;  // literal and placeholder children together; few, so a linear look-up
  size_t literals = 0;
  bool collapsed = false;  // every literal segment is {value} here
  uint32_t route = 0;      // NameTable index when a template ends here

  Node* find(std::string_view wanted) {
    for (auto& child : children) {
      if (child->segment == wanted) return child.get();
    }
    return nullptr;
  }
  [[nodiscard]] size_t leaves() const {
    size_t count = route != 0 ? 1 : 0;
    for (const auto& child : children) count += child->leaves();
    return count;
  }
};

struct RouteLearner::Service {
  std::string name;
  Node root;
  size_t templates = 0;
};

RouteLearner::RouteLearner(telemetry::NameTable& names)
    : names_(names),
      cache_(kCacheEntries),
      other_(names.intern("other")),
      seed_(net::random_u64() | 1U) {}
RouteLearner::~RouteLearner() = default;

RouteLearner::Service* RouteLearner::service_of(std::string_view name) {
  for (auto& service : services_) {
    if (service->name == name) return service.get();
  }
  if (services_.size() >= kMaxServices) return nullptr;
  services_.push_back(std::make_unique<Service>());
  services_.back()->name = std::string(name);
  return services_.back().get();
}

uint32_t RouteLearner::route(std::string_view service, std::string_view path, bool may_learn) {
  const uint64_t hash = hash_text(hash_text(seed_, service), path);
  CacheEntry& entry = cache_[hash % kCacheEntries];
  if (entry.hash == hash && entry.generation == generation_) return entry.route;
  Service* known = service_of(service);
  const uint32_t found = known != nullptr ? look_up(*known, path, may_learn) : other_;
  if (found == other_) {
    ++folded_;
    return found;
  }
  entry = {hash, found, generation_};
  return found;
}

uint32_t RouteLearner::settle_leaf(Service& service, Node& leaf, const std::string& name) {
  if (leaf.route != 0) return leaf.route;
  if (service.templates >= kMaxTemplates) return other_;
  std::set<uint64_t>& named = named_[service.name];
  const uint64_t hash = hash_text(seed_, name);
  if (named.size() >= kMaxNames && named.count(hash) == 0) return other_;
  named.insert(hash);
  leaf.route = names_.intern(name);
  ++service.templates;
  return leaf.route;
}

uint32_t RouteLearner::look_up(Service& service, std::string_view path, bool may_learn) {
  if (path.empty() || path[0] != '/') return other_;
  Node* node = &service.root;
  bool news = false;
  std::string name;
  name.reserve(path.size() + 16);
  size_t begin = 1, depth = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string_view segment = path.substr(begin, end - begin);
    std::string_view key = placeholder_of(segment);
    if (++depth > kMaxSegments) {
      key = "{rest}";
      end = path.size();
    }
    const bool literal = key.empty();
    if (literal) key = node->collapsed && !segment.empty() ? std::string_view("{value}") : segment;
    Node* child = node->find(key);
    if (child == nullptr) {
      if (!may_learn || service.templates >= kMaxTemplates ||
          named_[service.name].size() >= kMaxNames)
        return other_;
      if (literal && !node->collapsed && !segment.empty() && ++node->literals > kMaxChildren) {
        // Too many names for a part of the program: they are values. What was learned below is
        // learned anew under {value}.
        std::erase_if(node->children, [&service](const std::unique_ptr<Node>& old) {
          if (!placeholder_of(old->segment).empty() || old->segment.empty() ||
              old->segment.front() == '{')
            return false;
          service.templates -= old->leaves();
          return true;
        });
        node->collapsed = true;
        ++generation_;
        key = "{value}";
      }
      node->children.push_back(std::make_unique<Node>());
      child = node->children.back().get();
      child->segment = std::string(key);
      news = true;
    }
    name += '/';
    name += child->segment;
    node = child;
    begin = end + 1;
  }
  if (node->route == 0 && !may_learn) return other_;
  news = news || node->route == 0;
  if (news && news_.size() < kMaxNews && path.size() <= kMaxNewsBytes)
    news_.push_back(service.name + '\0' + std::string(path));
  return settle_leaf(service, *node, name);
}

std::vector<std::string> RouteLearner::take_news() { return std::exchange(news_, {}); }

void RouteLearner::learn(const std::string& news) {
  const size_t split = std::min(news.find('\0'), news.size());
  if (split == news.size()) return;
  (void)route(std::string_view(news).substr(0, split), std::string_view(news).substr(split + 1),
              true);
}

LearnedRoutes RouteLearner::learned() const {
  LearnedRoutes all;
  for (const auto& service : services_) {
    std::vector<std::string> names;
    const auto walk = [&names](const auto& self, const Node& node,
                               const std::string& name) -> void {
      if (node.route != 0) names.push_back(name);
      for (const auto& child : node.children) self(self, *child, name + "/" + child->segment);
    };
    walk(walk, service->root, {});
    all.emplace_back(service->name, std::move(names));
  }
  return all;
}

void RouteLearner::adopt(const LearnedRoutes& routes) {
  services_.clear();
  ++generation_;
  for (const auto& [service_name, names] : routes) {
    Service* const service = service_of(service_name);
    if (service == nullptr) return;
    for (const std::string& name : names) {
      Node* node = &service->root;
      for (size_t begin = 1; begin <= name.size();) {
        const size_t end = std::min(name.find('/', begin), name.size());
        const std::string_view segment = std::string_view(name).substr(begin, end - begin);
        Node* child = node->find(segment);
        if (child == nullptr) {
          node->children.push_back(std::make_unique<Node>());
          child = node->children.back().get();
          child->segment = std::string(segment);
          if (segment == "{value}") node->collapsed = true;
          if (!segment.empty() && segment.front() != '{') ++node->literals;
        }
        node = child;
        begin = end + 1;
      }
      (void)settle_leaf(*service, *node, name);
    }
  }
}

std::vector<std::string> RouteLearner::templates() const {
  std::vector<std::string> all;
  const auto walk = [&all](const auto& self, const Node& node, const std::string& name) -> void {
    if (node.route != 0) all.push_back(name);
    for (const auto& child : node.children) self(self, *child, name + "/" + child->segment);
  };
  for (const auto& service : services_) walk(walk, service->root, service->name);
  return all;
}

}  // namespace hms::proxy
