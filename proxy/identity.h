// identity.h: who sends: a UUID for this instance and the number of its start. With --spool-dir
// both outlive a restart (file `identity`: "uuid boot\n", replaced by rename); without, every start
// is a new instance. Thread: start-up.
#pragma once

#include <cstdint>
#include <string>

#include "net/core/result.h"

namespace hms::proxy {

struct Identity {
  std::string instance_id;
  uint64_t boot_number = 1;
};

/// Errors: io, with the path. A file that cannot be understood is replaced by a new identity.
[[nodiscard]] net::Result<Identity> load_identity(const std::string& folder);

}  // namespace hms::proxy
