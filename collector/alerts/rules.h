// rules.h: Prometheus rule files (groups, interval, limit, labels, rules) as checked values.
//
// Every fault of every file is reported at once, with file, line and key; one in an expression also
// with PromQL's own line and column, one in a template with its character. A bad file is refused
// whole and what was in force stays. A directory means all its *.yaml and *.yml, sorted by name.
// Limits: 1 MiB a file, 256 files, 1,000 groups, 10,000 rules. Thread: any; a RuleSet is immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/alerts/template.h"
#include "collector/query/promql/engine.h"
#include "net/core/clock.h"
#include "net/core/result.h"
#include "net/core/yaml_reader.h"

namespace hms::collector {

struct Rule {
  enum class Kind : uint8_t { alerting, recording };
  Kind kind = Kind::alerting;
  std::string name;  // alert name, or the recorded series' name
  std::string expression_text;
  promql::Expression expression;
  net::Millis hold{0};                                   // `for`
  net::Millis keep_firing{0};                            // `keep_firing_for`
  std::vector<std::pair<std::string, Template>> labels;  // the group's under the rule's own
  std::vector<std::pair<std::string, Template>> annotations;
};

struct RuleGroup {
  std::string name, file;
  net::Millis interval{1000};
  uint64_t limit = 0;  // 0: none
  std::vector<Rule> rules;
};

struct RuleSet {
  std::vector<RuleGroup> groups;
};

/// Reads one document's groups into `set`; faults go to `errors`.
void read_rules(std::string_view text, const std::string& file_name, RuleSet& set,
                net::YamlErrors& errors);
/// A file or a directory. Faults, also of reading, go to `errors`.
[[nodiscard]] RuleSet load_rules(const std::string& path, net::YamlErrors& errors);
/// The rules in force when nobody gave any (deploy/rules/default.yaml, compiled in).
[[nodiscard]] const RuleSet& default_rules();
[[nodiscard]] std::string_view default_rules_text();

/// "1m30s" as Prometheus writes durations ("0" too).
[[nodiscard]] net::Result<net::Millis> parse_rule_duration(std::string_view text);

}  // namespace hms::collector
