// jaeger_json.h: a stored trace in Jaeger's JSON (version 1): spans with references, tags and logs,
// and the processes they ran in.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "collector/store/span_store.h"

namespace hms::collector {

[[nodiscard]] nlohmann::json jaeger_trace(const Trace& trace);

}  // namespace hms::collector
