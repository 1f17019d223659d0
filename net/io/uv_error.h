// uv_error.h: libuv's status numbers as Errors. Private to net/io.
#pragma once

#include <string_view>

#include "net/core/result.h"

namespace hms::net {

/// `status` is a negative libuv (or errno) number. The detail is "<what>: <libuv's text>", without
/// "<what>: " when that is empty.
[[nodiscard]] Error uv_error(int status, Side side, std::string_view what);

}  // namespace hms::net
