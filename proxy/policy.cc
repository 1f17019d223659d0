#include "proxy/policy.h"

#include <algorithm>

namespace hms::proxy {

namespace {

constexpr std::string_view kSpiffe = "spiffe://";
constexpr size_t kLongestPattern = 2'048;

bool same_name(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool matches(std::string_view pattern, std::string_view identity) noexcept {
  if (pattern.starts_with(kSpiffe)) {
    if (!pattern.ends_with("/*")) return pattern == identity;
    pattern.remove_suffix(1);  // the '/' stays: "shop/*" is not "shopping"
    return identity.size() > pattern.size() && identity.starts_with(pattern);
  }
  if (identity.starts_with(kSpiffe)) return false;
  if (!pattern.starts_with("*.")) return same_name(pattern, identity);
  const size_t dot = identity.find('.');
  return dot != std::string_view::npos && dot > 0 &&
         same_name(pattern.substr(1), identity.substr(dot));
}

}  // namespace

bool is_identity_pattern(std::string_view pattern) noexcept {
  const bool visible = std::all_of(pattern.begin(), pattern.end(), [](char c) {
    return c > 0x20 && static_cast<unsigned char>(c) < 0x7f;
  });
  if (pattern.empty() || pattern.size() > kLongestPattern || !visible) return false;
  const size_t star = pattern.find('*');
  if (pattern.starts_with(kSpiffe)) {
    const std::string_view rest = pattern.substr(kSpiffe.size());
    return !rest.empty() && rest.front() != '/' && rest.front() != '*' &&
           (star == std::string_view::npos ||
            (star == pattern.size() - 1 && pattern.ends_with("/*")));
  }
  if (pattern.starts_with("*.")) pattern.remove_prefix(2);
  return !pattern.empty() && pattern.front() != '.' &&
         pattern.find_first_of("*/") == std::string_view::npos;
}

bool identity_allowed(const std::vector<std::string>& allow, std::string_view identity) noexcept {
  if (allow.empty()) return true;
  return !identity.empty() && std::any_of(allow.begin(), allow.end(), [identity](const auto& one) {
    return matches(one, identity);
  });
}

}  // namespace hms::proxy
