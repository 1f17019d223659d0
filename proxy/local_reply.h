// local_reply.h: every answer that the proxy gives itself, in one table: status, x-hms-error,
// response flag, what to count it as.
//
// An application's own 5xx and the proxy's can so never be mistaken for each other. docs/errors.md
// lists the same (errors_doc_test.cc compares). The flags are Envoy's letters. Thread: any.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "telemetry/recorder.h"

namespace hms::proxy {

enum class LocalError : uint8_t {
  none,
  bad_request,
  uri_too_long,
  head_too_large,
  not_implemented,
  version_not_supported,
  request_timeout,
  loop_detected,
  forbidden,
  no_route,
  no_endpoint,
  connect_failed,
  connect_timeout,
  resolve_failed,
  upstream_reset,
  upstream_closed,
  upstream_protocol,
  timeout,
  overloaded,
  count_,
};

struct LocalErrorEntry {
  LocalError error;
  uint16_t status;
  std::string_view name;  // x-hms-error
  std::string_view flag;  // access log
  telemetry::ErrorType type;
  std::string_view sentence;
};

[[nodiscard]] const LocalErrorEntry& local_error(LocalError error) noexcept;
/// The error for a status that the codec gave a malformed request.
[[nodiscard]] LocalError local_error_of_status(uint16_t status) noexcept;

struct LocalReply {
  LocalError error = LocalError::bad_request;
  std::string_view detail =
      {};  // who and where: "127.0.0.1:8080: connection refused"; may be empty
  std::string_view x_trace = {};  // may be empty
  bool head_only = false;         // the request was HEAD
  bool close = true;
  bool say_keep_alive = false;
};
/// The whole reply as bytes. `detail` is cut to 256 bytes and escaped: nothing in it can break out
/// of the JSON or the head.
[[nodiscard]] std::string format_local_reply(const LocalReply& reply);

}  // namespace hms::proxy
