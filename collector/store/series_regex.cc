// series_regex.cc: see series_regex.h.
#include "collector/store/series_regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <map>

namespace hms::collector {
namespace {

constexpr size_t kMaxPatternBytes = 4096;
constexpr int64_t kMaxProgramBytes = 1024 * 1024;
constexpr std::string_view kMeta = "\\.+*?()[]{}^$";

bool is_name_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// "a|b|c" without anything special; an empty alternative is the engine's business.
std::vector<std::string> plain_alternatives(std::string_view pattern) {
  std::vector<std::string> out;
  if (pattern.empty() || pattern.find_first_of(kMeta) != std::string_view::npos) return out;
  size_t begin = 0;
  while (true) {
    const size_t bar = pattern.find('|', begin);
    const std::string_view part =
        pattern.substr(begin, bar == std::string_view::npos ? bar : bar - begin);
    if (part.empty()) return {};
    out.emplace_back(part);
    if (bar == std::string_view::npos) break;
    begin = bar + 1;
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

struct Regex::Impl {
  Impl(std::string_view pattern, const re2::RE2::Options& options)
      : engine(re2::StringPiece(pattern.data(), pattern.size()), options) {}
  re2::RE2 engine;
  std::vector<std::string> literals;
};

Regex::Regex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

net::Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return net::Error{net::Code::bad_message, net::Side::downstream, false,
                      "regular expression of " + std::to_string(pattern.size()) +
                          " bytes is over the limit of 4096"};
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(kMaxProgramBytes);
  auto impl = std::make_unique<Impl>(pattern, options);
  if (!impl->engine.ok()) {
    return net::Error{net::Code::bad_message, net::Side::downstream, false,
                      "error parsing regexp: " + impl->engine.error() + " in \"" +
                          std::string(pattern.substr(0, 200)) + "\""};
  }
  impl->literals = plain_alternatives(pattern);
  return Regex(std::move(impl));
}

bool Regex::matches(std::string_view text) const {
  if (!impl_->literals.empty())
    return std::binary_search(impl_->literals.begin(), impl_->literals.end(), text);
  return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), impl_->engine);
}

const std::vector<std::string>& Regex::literals() const noexcept { return impl_->literals; }

bool Regex::replace(std::string_view text, std::string_view replacement, std::string& out) const {
  const int groups = impl_->engine.NumberOfCapturingGroups() + 1;
  std::vector<re2::StringPiece> found(static_cast<size_t>(groups));
  const re2::StringPiece input(text.data(), text.size());
  if (!impl_->engine.Match(input, 0, input.size(), re2::RE2::ANCHOR_BOTH, found.data(), groups))
    return false;
  const std::map<std::string, int>& names = impl_->engine.NamedCapturingGroups();
  out.clear();
  size_t i = 0;
  while (i < replacement.size()) {
    if (replacement[i] != '$') {
      out += replacement[i++];
      continue;
    }
    if (i + 1 < replacement.size() && replacement[i + 1] == '$') {
      out += '$';
      i += 2;
      continue;
    }
    const bool braced = i + 1 < replacement.size() && replacement[i + 1] == '{';
    size_t end = i + (braced ? 2 : 1);
    const size_t begin = end;
    while (end < replacement.size() && is_name_char(replacement[end])) ++end;
    if (end == begin || (braced && (end >= replacement.size() || replacement[end] != '}'))) {
      out += replacement[i++];  // malformed: a dollar sign as it is
      continue;
    }
    const std::string name(replacement.substr(begin, end - begin));
    int index = -1;
    if (name.find_first_not_of("0123456789") == std::string::npos) {
      index = name.size() < 6 ? std::stoi(name) : groups;
    } else if (const auto it = names.find(name); it != names.end()) {
      index = it->second;
    }
    if (index >= 0 && index < groups) {
      const re2::StringPiece& group = found[static_cast<size_t>(index)];
      out.append(group.data() == nullptr ? "" : group.data(), group.size());
    }
    i = end + (braced ? 1 : 0);
  }
  return true;
}

net::Result<CompiledMatcher> CompiledMatcher::compile(const LabelMatcher& matcher) {
  CompiledMatcher out;
  out.matcher_ = matcher;
  if (matcher.kind == LabelMatcher::Kind::equal) out.equal_.push_back(matcher.value);
  if (matcher.kind == LabelMatcher::Kind::matches ||
      matcher.kind == LabelMatcher::Kind::not_matches) {
    auto regex = Regex::compile(matcher.value);
    if (!regex) return regex.error();
    out.regex_ = std::make_unique<Regex>(std::move(*regex));
  }
  return out;
}

bool CompiledMatcher::matches(std::string_view value) const {
  switch (matcher_.kind) {
    case LabelMatcher::Kind::equal:
      return value == matcher_.value;
    case LabelMatcher::Kind::not_equal:
      return value != matcher_.value;
    case LabelMatcher::Kind::matches:
      return regex_->matches(value);
    case LabelMatcher::Kind::not_matches:
      return !regex_->matches(value);
  }
  return false;
}

const std::vector<std::string>* CompiledMatcher::candidates() const noexcept {
  if (matcher_.kind == LabelMatcher::Kind::equal) return &equal_;
  if (matcher_.kind == LabelMatcher::Kind::matches && !regex_->literals().empty())
    return &regex_->literals();
  return nullptr;
}

net::Result<std::vector<CompiledMatcher>> compile_matchers(
    const std::vector<LabelMatcher>& matchers) {
  std::vector<CompiledMatcher> out;
  for (const LabelMatcher& matcher : matchers) {
    auto compiled = CompiledMatcher::compile(matcher);
    if (!compiled) return compiled.error();
    out.push_back(std::move(*compiled));
  }
  return out;
}

std::string_view label_value(const LabelSet& labels, std::string_view name) noexcept {
  for (const auto& [key, value] : labels) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace hms::collector
