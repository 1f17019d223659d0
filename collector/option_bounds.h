// option_bounds.h: what values of an option are taken, by the command line (options.cc) and by the
// configuration file (options_file.cc) alike. docs/config-collector.md names them. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/clock.h"
#include "net/core/result.h"

namespace hms::collector {

inline constexpr uint64_t kMinMemory = 128ULL * 1024 * 1024;
inline constexpr uint64_t kMaxMemory = 64ULL * 1024 * 1024 * 1024;
inline constexpr int64_t kMaxRetentionDays = 400;
inline constexpr int64_t kMaxAuditDays = 3'660;
inline constexpr net::Millis kMinSeal{1'000}, kMaxSeal{6 * 3'600'000};
inline constexpr uint64_t kMaxDisk = 100ULL * 1024 * 1024 * 1024 * 1024;
inline constexpr uint64_t kMinCache = 16ULL * 1024 * 1024;
inline constexpr std::string_view kOff = "off";  // of otlp_listen

/// "02:30" as minutes of the day (UTC). False: `minute` is as it was.
[[nodiscard]] bool parse_minute(const std::string& text, uint32_t& minute);

/// Whether `text` is an address to listen on. `may_be_off`: "off" is one too.
[[nodiscard]] net::Result<void> check_address(const std::string& text, bool may_be_off);

/// Whether `text` is a URL that links can begin with.
[[nodiscard]] net::Result<void> check_external_url(const std::string& text);

}  // namespace hms::collector
