// log_json.h: a stored line as the API shows it: the names of /ingest, and what else it carried
// under its own name, never over them. For .cc files only. Thread: any.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "collector/store/log_store.h"

namespace hms::collector {

[[nodiscard]] nlohmann::json log_json(const StoredLog& log);
[[nodiscard]] std::string iso_time(uint64_t unix_nanos);

}  // namespace hms::collector
