// series_regex.h: anchored regular expressions for label matchers and label_replace, in linear time
// (RE2); only series_regex.cc knows it.
//
// As Prometheus 3: the pattern must match the whole text, and "." matches a line feed too. Plain
// texts and alternatives of plain texts
// ("a|b|c") are compared without the engine. Limits: a pattern of 4 KiB, a compiled program of 1
// MiB. Thread: const use from any.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/series_store.h"
#include "net/core/result.h"

namespace hms::collector {

class Regex {
 public:
  /// Errors: bad_message, with the pattern and what is wrong in it.
  [[nodiscard]] static net::Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  [[nodiscard]] bool matches(std::string_view text) const;
  /// If `text` matches: `replacement` with $1, ${1}, $name, ${name} and $$ expanded as Go's
  /// regexp.Expand does. False: no match.
  [[nodiscard]] bool replace(std::string_view text, std::string_view replacement,
                             std::string& out) const;
  /// The pattern's plain alternatives, if it has nothing else ("a|b"); then matching is looking up.
  /// Empty otherwise.
  [[nodiscard]] const std::vector<std::string>& literals() const noexcept;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A matcher with its expression compiled.
class CompiledMatcher {
 public:
  [[nodiscard]] static net::Result<CompiledMatcher> compile(const LabelMatcher& matcher);
  [[nodiscard]] const std::string& name() const noexcept { return matcher_.name; }
  [[nodiscard]] const LabelMatcher& matcher() const noexcept { return matcher_; }
  /// An absent label is the empty text.
  [[nodiscard]] bool matches(std::string_view value) const;
  /// Values that alone can match, when they are known (equality, plain alternatives); null
  /// otherwise.
  [[nodiscard]] const std::vector<std::string>* candidates() const noexcept;

 private:
  CompiledMatcher() = default;
  LabelMatcher matcher_;
  std::unique_ptr<Regex> regex_;
  std::vector<std::string> equal_;
};
[[nodiscard]] net::Result<std::vector<CompiledMatcher>> compile_matchers(
    const std::vector<LabelMatcher>& matchers);

/// The value of a label, or the empty text.
[[nodiscard]] std::string_view label_value(const LabelSet& labels, std::string_view name) noexcept;

}  // namespace hms::collector
