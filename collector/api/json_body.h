// json_body.h: a request's JSON body, and errors as statuses, for the small JSON interfaces
// (silences, canaries). For .cc files only.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "net/core/result.h"
#include "net/http/server.h"

namespace hms::collector {

/// At most 64 KiB and 32 levels. Errors: bad_message with the byte where it stopped being JSON;
/// too_large.
[[nodiscard]] net::Result<nlohmann::json> read_json_body(const net::Request& request);
/// 400 bad_data, 404 not_found, 409 conflict, 413, or 500/503 for our own side.
void answer_error(net::Reply& reply, const net::Error& error);
[[nodiscard]] std::string dump(const nlohmann::json& json);
[[nodiscard]] std::string dump(const nlohmann::ordered_json& json);

}  // namespace hms::collector
