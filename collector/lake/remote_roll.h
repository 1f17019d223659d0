// remote_roll.h: asks a running collector to roll a day, and waits for it. Thread: any.
#pragma once

#include <cstdint>
#include <string>

#include "net/core/result.h"

namespace hms::collector {

/// `listen` as in the configuration. One sentence for people. Errors: unavailable (nobody answers
/// there), and what the roll ended with.
[[nodiscard]] net::Result<std::string> roll_in_collector(const std::string& listen, bool tls,
                                                         uint32_t day);

}  // namespace hms::collector
