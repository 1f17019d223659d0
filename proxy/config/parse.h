// parse.h: a YAML file, or all *.yaml of a directory merged, into a Config; every fault with file,
// line and key.
//
// Merging: maps are joined key by key, `upstreams` by name, `routes` are appended in the order of
// the file names; the same key twice (or one upstream in two files) is a fault that names both
// places. Limits: 256 files, 1,024 upstreams, 4,096 routes, 1,024 endpoints an upstream. Thread:
// start-up, or the main loop on a reload.
#pragma once

#include <string>

#include "net/core/yaml_reader.h"
#include "proxy/config/types.h"

namespace hms::proxy {

/// Reads `path` over `config`. Faults go to `errors`; then `config` is not to be used.
void read_config(const std::string& path, Config& config, net::YamlErrors& errors);
/// The same for one text; `file_name` is for people.
void read_config_text(std::string_view text, const std::string& file_name, Config& config,
                      net::YamlErrors& errors);

/// Whether a route of the inbound listener has a list of callers of its own.
[[nodiscard]] bool has_inbound_route_policy(const Config& config);

/// What only shows when everything is merged: unknown upstream names, impossible weights,
/// addresses. Faults as sentences.
void check_config(const Config& config, net::YamlErrors& errors);

}  // namespace hms::proxy
