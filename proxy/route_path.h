// route_path.h: a request's path as routes compare it, and the other ways in which a service could
// read it.
//
// Only the decision is made on these; what is sent on stays byte for byte as it came. RFC 3986
// 6.2.2: escapes decoded, but those that would be taken for structure ("/", "\", ";", "%", "?",
// "#", control characters), dot segments removed, empty segments merged. A service may read less
// (".." kept) or more (";parameters" dropped): where a route has an `allow`, those readings are
// looked at too (docs/security.md). Most paths are plain and are not touched. Thread: the scratch
// is a worker's. Bound: the texts are no longer than the path; no allocation once they have grown.
#pragma once

#include <string>
#include <string_view>

namespace hms::proxy {

/// Room for the readings of one path.
struct PathScratch {
  std::string normal, bare, climbing;
};

struct PathReadings {
  std::string_view normal;    // what routes compare
  std::string_view bare;      // ";parameters" dropped first; as `normal` if there are none
  std::string_view climbing;  // the same with its ".." kept; as `normal` if there are none
  /// Nobody can tell how a service reads it: an escaped "/", a "\", a control character, an escape
  /// that is none, bytes that some take for an over-long "/".
  bool ambiguous = false;
  bool plain = false;  // all of them are the path itself
};

/// Needs none of this: it is its own normal form and has one reading.
[[nodiscard]] bool is_plain_path(std::string_view path) noexcept;
/// The readings live in `scratch`.
[[nodiscard]] PathReadings read_path(std::string_view path, PathScratch& scratch);

}  // namespace hms::proxy
