// rule_files.h: rule files on the disk, read at the start, on a reload and when they change.
// Thread: the loop's.
#pragma once

#include <memory>
#include <string>

#include "collector/alerts/alerts.h"
#include "net/io/file_watch.h"

namespace hms::collector {

/// --rules FILE|DIR: loads, and loads again when it changes on disk. A bad file is refused whole:
/// every fault is logged, the rules in force stay.
class RuleFiles {
 public:
  /// Errors: bad_config with all faults, one a line.
  [[nodiscard]] static net::Result<std::unique_ptr<RuleFiles>> open(net::Loop& loop, Alerts& alerts,
                                                                    std::string path);
  ~RuleFiles();
  /// For SIGHUP. The faults are also in the log.
  net::Result<void> reload();

 private:
  RuleFiles(Alerts& alerts, std::string path);
  Alerts& alerts_;
  std::string path_;
  std::unique_ptr<net::FileWatch> watch_;
};

}  // namespace hms::collector
