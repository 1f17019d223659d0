// version.h: what --version prints. The number is the project's in CMakeLists.txt.
#pragma once

namespace hms::proxy {

inline constexpr const char* kVersion = HMS_VERSION;

}  // namespace hms::proxy
