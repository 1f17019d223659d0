// read_upstreams.h: one entry of `upstreams:`: endpoints, balance, tls, outlier ejection, health
// check. Limit: 1,024 endpoints. Thread: as parse.h.
#pragma once

#include <string>

#include "net/core/yaml_reader.h"
#include "proxy/config/types.h"

namespace hms::proxy {

/// Adds the upstream to `config`; faults go to the nodes.
void read_upstream(const std::string& name, const net::YamlNode& node, Config& config);

}  // namespace hms::proxy
