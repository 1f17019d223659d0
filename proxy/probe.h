// probe.h: `hms-proxy --probe URL`: asks once and exits, for Kubernetes' exec probes: the admin
// interface stays on loopback, and the image has no shell and no curl in it.
#pragma once

#include <string>

namespace hms::proxy {

/// GETs `url` (http, at most 5 s). 0 when the answer is 2xx; otherwise a sentence on stderr and 1,
/// or 2 for what is no URL.
[[nodiscard]] int probe(const std::string& url);

}  // namespace hms::proxy
