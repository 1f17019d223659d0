// rules_fuzz.cc: rule files, templates, plans and silences: what people write never crashes the
// collector, and what is accepted can be used.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "collector/alerts/rule_state.h"
#include "collector/alerts/rules.h"
#include "collector/canary/plan.h"
#include "telemetry/time_text.h"

using namespace hms;
using namespace hms::collector;

namespace {

void use_rules(std::string_view text) {
  RuleSet set;
  net::YamlErrors errors;
  read_rules(text, "fuzz.yaml", set, errors);
  (void)errors.text();
  if (!errors.empty()) return;
  for (const RuleGroup& group : set.groups) {
    for (const Rule& rule : group.rules) {
      if (!rule.expression) std::abort();  // accepted rules can be evaluated
      RuleState state;
      (void)state.update(group, rule, {{{{"job", "a"}}, 0.5}}, 1000);
      (void)state.update(group, rule, {}, 2'000'000'000);
    }
  }
}

void use_template(std::string_view text) {
  const auto parsed = Template::parse(text);
  if (!parsed) return;
  for (const double value : {0.0, -1.5, 1e300, 1e-300}) {
    if (parsed->expand({{"job", "a"}, {"service_name", "%s{{"}}, value).size() > 4096) std::abort();
  }
}

void use_plan(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return;
  const auto plan = read_plan("fuzz", json);
  if (!plan) return;
  nlohmann::ordered_json out;
  write_plan(*plan, out);
  const auto again = read_plan("fuzz", nlohmann::json(out));
  if (!again || !(*again == *plan)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 64 * 1024) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      use_rules(text);
      break;
    case 1:
      use_template(text);
      break;
    case 2:
      use_plan(text);
      break;
    default:
      if (const auto time = hms::telemetry::parse_rfc3339(text)) {
        // Offsets reach a little beyond 1970 and 9999; what is written is clamped to them.
        const int64_t shown = std::clamp<int64_t>(*time, 0, 253402300799999);
        if (hms::telemetry::parse_rfc3339(hms::telemetry::rfc3339(*time)).value_or(-1) != shown)
          std::abort();
      }
      (void)parse_rule_duration(text);
  }
  return 0;
}
