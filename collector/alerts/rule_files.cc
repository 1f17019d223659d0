#include "collector/alerts/rule_files.h"

#include <utility>

#include "net/core/log.h"

namespace hms::collector {

RuleFiles::RuleFiles(Alerts& alerts, std::string path) : alerts_(alerts), path_(std::move(path)) {}
RuleFiles::~RuleFiles() = default;

net::Result<std::unique_ptr<RuleFiles>> RuleFiles::open(net::Loop& loop, Alerts& alerts,
                                                        std::string path) {
  std::unique_ptr<RuleFiles> files(new RuleFiles(alerts, path));
  if (auto loaded = files->reload(); !loaded) return loaded.error();
  RuleFiles* raw = files.get();
  files->watch_ = net::FileWatch::watch(loop, std::move(path), [raw] { (void)raw->reload(); });
  return files;
}

net::Result<void> RuleFiles::reload() {
  net::YamlErrors errors;
  RuleSet rules = load_rules(path_, errors);
  if (!errors.empty()) {
    for (const net::YamlError& error : errors.all())
      net::log_error("rule file refused", {{"error", net::to_string(error)}});
    return net::Error{net::Code::bad_config, net::Side::self, false, errors.text()};
  }
  size_t count = 0;
  for (const RuleGroup& group : rules.groups) count += group.rules.size();
  net::log_info("rules in force",
                {{"path", path_}, {"groups", rules.groups.size()}, {"rules", count}});
  alerts_.set_rules(std::move(rules));
  return {};
}

}  // namespace hms::collector
