// status_config.h: what is in force, for /api/v1/status/config: the keys of
// docs/config-collector.md as YAML, without secrets: of a notifier its name, its type and what it
// hears (its URL may be one), of TLS the names of the files. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "collector/options.h"

namespace hms::collector {

/// `listen`, `otlp_listen`: as bound. `notifiers`: those of now, which SIGHUP may have changed.
[[nodiscard]] std::string config_in_force(const CollectorOptions& options,
                                          const std::string& listen, const std::string& otlp_listen,
                                          const std::vector<NotifierConfig>& notifiers);

/// Keys whose values differ between two readings of the file: what only a restart takes, "memory,
/// tls"; notifiers are not among them. Empty: none.
[[nodiscard]] std::string keys_that_need_a_restart(const CollectorOptions& before,
                                                   const CollectorOptions& after);

}  // namespace hms::collector
