// family_name.h: a UTC day is the family "day-2026-11-22", what outlives days is "meta". Thread:
// any.
#pragma once

#include <optional>
#include <string>

#include "collector/store/kv.h"

namespace hms::collector {

/// Of a day.
[[nodiscard]] std::string family_name(Family family);
[[nodiscard]] std::optional<Family> family_of_name(const std::string& name);
/// For people, meta as well.
[[nodiscard]] std::string family_text(Family family);

}  // namespace hms::collector
