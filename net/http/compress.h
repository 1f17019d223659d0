// compress.h: gzip and zstd over whole bodies, with a bound on what comes out (a small body must
// not unfold into a large one).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/result.h"

namespace hms::net {

/// Errors: too_large (more than `max_bytes` would come out), corrupt.
[[nodiscard]] Result<std::string> gzip_decode(std::string_view bytes, uint64_t max_bytes);
[[nodiscard]] Result<std::string> zstd_decode(std::string_view bytes, uint64_t max_bytes);
[[nodiscard]] std::string gzip_encode(std::string_view bytes, int level = 1);
[[nodiscard]] std::string zstd_encode(std::string_view bytes, int level = 1);

}  // namespace hms::net
