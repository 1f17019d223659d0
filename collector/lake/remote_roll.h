// remote_roll.h: asks a running collector to roll a day, and waits for it. Thread: any.
#pragma once

#include <cstdint>
#include <string>

#include "collector/lake/http_transfer.h"
#include "net/core/result.h"

namespace hms::collector {

/// `base`: "http://127.0.0.1:9090". One sentence for people. Errors: unavailable (nobody answers
/// there), tls, and what the roll ended with.
[[nodiscard]] net::Result<std::string> roll_in_collector(const std::string& base,
                                                         const HttpTrust& trust, uint32_t day);

}  // namespace hms::collector
