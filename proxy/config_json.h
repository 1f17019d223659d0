// config_json.h: what is in force, as /config and /routes of the admin interface tell it: by the
// names of docs/config.md, secrets masked. Thread: any.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "proxy/config/snapshot.h"

namespace hms::proxy {

[[nodiscard]] nlohmann::ordered_json config_json(const Snapshot& snapshot);
[[nodiscard]] nlohmann::ordered_json route_json(const RoutePlan& route, const Snapshot& snapshot);

}  // namespace hms::proxy
