// instance.h: who sends: a UUID for this instance and the number of its start.
//
// With --spool-dir both outlive a restart (file `identity`: "uuid boot\n", synced and renamed
// before the first batch); without, every start is a new instance. The folder belongs to one
// process at a time (flock on `lock`): a second one sends as an instance of its own, as two senders
// under one id would have their batches taken for repeats. Thread: start-up.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/core/result.h"

namespace hms::proxy {

struct Instance {
  std::string id;  // a UUID
  uint64_t boot_number = 1;
  std::shared_ptr<const void> lock;  // held as long as the id is used; null: a new instance
};

/// Errors: io, with the path. A file that cannot be understood is replaced by a new one.
[[nodiscard]] net::Result<Instance> load_instance(const std::string& folder);

}  // namespace hms::proxy
