// fault_points.h: places where a test may kill the roller. HMS_LAKE_FAULT=<name> ends the process
// there, at once and without any tidying, as kill -9 would. Only in debug builds: release builds
// know no such places.
#pragma once

#include <string_view>

namespace hms::collector {

/// In the order of a roll: sealed, table (the first one is begun), written, upload (one object is
/// in the lake), uploaded, verified, manifest, recorded (the hot store knows that the lake has the
/// day, and has not dropped it), retired.
void fault_point(std::string_view name);

}  // namespace hms::collector
