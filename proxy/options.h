// options.h: flags and environment of hms-proxy. Flags win over HMS_*, the environment over the
// file, the file over the defaults. Only options.cc knows CLI11. Thread: start-up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/core/yaml_reader.h"
#include "proxy/config/types.h"

namespace hms::proxy {

struct Options {
  std::optional<std::string> config_path, service, listen, protocol, app, outbound, admin,
      collector, spool_dir, threads, spin_us, log_level, access_log, telemetry;
  std::string log_format = "json";
  bool check = false;
  std::vector<std::string> from_environment;  // the variables that were used: "HMS_THREADS"
  std::string probe;                          // ask this URL once instead of running
  // What the command line asks for instead of running: the text for stdout or stderr and the exit
  // code.
  std::optional<int> exit_code;
  std::string message;
};

[[nodiscard]] Options parse_options(int argument_count, char** arguments);

/// Defaults, then the file, then environment and flags. Faults of all three go to `errors`.
[[nodiscard]] Config load_config(const Options& options, net::YamlErrors& errors);

}  // namespace hms::proxy
