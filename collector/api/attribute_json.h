// attribute_json.h: an attribute's value as JSON. Thread: any.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "collector/store/stored_attribute.h"

namespace hms::collector {

/// Booleans and numbers as such, everything else as its text (of Kind::json: the text of the JSON).
[[nodiscard]] nlohmann::json attribute_value_json(const StoredAttribute& attribute);

}  // namespace hms::collector
