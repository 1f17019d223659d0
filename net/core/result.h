// result.h: how every fallible function of both programs answers: a value or an Error.
//
// An Error knows where it was born (its side) and whether the same work may be tried again; both
// are decided at the place that saw the fault and never guessed later (compare pingora-error).
// std::expected is not used: clang 14 with libstdc++ 12 has none. Thread: values, any. Cost: Error
// is one word, one string (empty in the hot paths).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "net/core/check.h"

namespace hms::net {

/// What went wrong, as a closed list. `code_name` gives the text used in logs, metrics and
/// `x-hms-error`.
enum class Code : uint8_t {
  bad_message,      // the peer broke the protocol
  too_large,        // a documented bound was crossed
  unsupported,      // understood, but not something we do
  connect_failed,   // no connection: refused, unreachable
  connect_timeout,  // no connection within the time allowed
  reset,            // the peer reset the connection
  closed,           // the peer closed the connection before the work was done
  timeout,          // the time allowed ran out
  resolve_failed,   // a name did not resolve
  tls,              // handshake or certificate
  canceled,         // our side gave the work up
  overloaded,       // a cap on memory, connections or requests is reached
  bad_config,       // what a person wrote is wrong; detail has file, line and key
  io,               // disk or another local resource
  no_space,         // the disk is full
  corrupt,          // stored or received bytes fail their checksum or grammar
  not_found,
  already_exists,
  unavailable,  // not now; try later
};

enum class Side : uint8_t { self, downstream, upstream };

[[nodiscard]] std::string_view code_name(Code code) noexcept;
[[nodiscard]] std::string_view side_name(Side side) noexcept;

struct Error {
  Code code = Code::io;
  Side side = Side::self;
  bool may_retry = false;  // the same work may succeed elsewhere or later, and nothing happened yet
  std::string
      detail{};  // one sentence for people: what, where, what is allowed; no trailing full stop
};

/// "connect_failed: 127.0.0.1:8080: connection refused"
[[nodiscard]] std::string to_string(const Error& error);

/// A value of T or an Error. Reading the wrong one aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: conversions are the point
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & {
    HMS_ENSURE(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    HMS_ENSURE(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    HMS_ENSURE(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

  [[nodiscard]] const Error& error() const& {
    HMS_ENSURE(!ok());
    return *std::get_if<1>(&state_);
  }
  [[nodiscard]] Error&& error() && {
    HMS_ENSURE(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: conversions are the point

  [[nodiscard]] bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] const Error& error() const& {
    HMS_ENSURE(!ok());
    return *error_;
  }
  [[nodiscard]] Error&& error() && {
    HMS_ENSURE(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace hms::net
