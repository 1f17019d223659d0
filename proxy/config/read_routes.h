// read_routes.h: one entry of `routes:`: what it matches, where it goes, stickiness, timeout,
// retries, who may. Thread: as parse.h.
#pragma once

#include "net/core/yaml_reader.h"
#include "proxy/config/types.h"

namespace hms::proxy {

/// Adds the route to `config`; faults go to the nodes.
void read_route(const net::YamlNode& node, Config& config);

}  // namespace hms::proxy
