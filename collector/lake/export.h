// export.h: a table of the lake as lines for people and scripts.
#pragma once

#include <functional>
#include <string_view>

#include "collector/lake/destination.h"
#include "collector/lake/manifest.h"

namespace hms::collector {

enum class ExportFormat : uint8_t { ndjson, csv };
/// `sink` false: writing ended early (a closed pipe), which is no fault. Times are RFC 3339, JSON
/// columns stay JSON. Errors: those of reading.
[[nodiscard]] net::Result<void> export_table(const LakeDestination& destination,
                                             const LakeManifest& manifest, LakeTable table,
                                             ExportFormat format,
                                             const std::function<bool(std::string_view)>& sink);

}  // namespace hms::collector
