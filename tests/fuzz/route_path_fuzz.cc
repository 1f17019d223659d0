// A request's path as routes compare it: any bytes. The normal form is its own normal form, has no
// dot segment and no empty one but the last, and no reading is longer than the path.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/route_path.h"

namespace {

void require(bool holds) {
  if (!holds) abort();
}

bool has_segment(std::string_view path, std::string_view segment) {
  const std::string inside = "/" + std::string(segment) + "/";
  return path.find(inside) != std::string_view::npos || path.ends_with("/" + std::string(segment));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path(reinterpret_cast<const char*>(data), size);
  static hms::proxy::PathScratch scratch, again;
  const hms::proxy::PathReadings readings = hms::proxy::read_path(path, scratch);
  require(readings.plain == hms::proxy::is_plain_path(path));
  for (const std::string_view reading : {readings.normal, readings.bare, readings.climbing}) {
    require(reading.size() <= path.size());
    require(path.empty() || path[0] != '/' || reading[0] == '/');
  }
  if (path.empty() || path[0] != '/') return 0;
  const std::string normal(readings.normal);
  require(normal.find("//") == std::string::npos);
  require(!has_segment(normal, ".") && !has_segment(normal, ".."));
  require(!has_segment(readings.bare, "..") && !has_segment(readings.climbing, "."));
  // A "%" that escapes nothing may come to stand before two digits: ambiguous from the start.
  require(readings.ambiguous || hms::proxy::read_path(normal, again).normal == normal);
  return 0;
}
