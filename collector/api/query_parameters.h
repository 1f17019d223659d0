// query_parameters.h: the query parameters of the query APIs: numbers, times and durations, with
// errors that name the parameter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/result.h"
#include "net/http/server.h"

namespace hms::collector {

/// Reads parameters one after the other and keeps the first fault, so that a handler asks once.
class QueryParameters {
 public:
  explicit QueryParameters(const net::Request& request) : request_(request) {}
  /// Empty when absent.
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] uint64_t integer(std::string_view name, uint64_t fallback, uint64_t most);
  /// From 1 to `most`.
  [[nodiscard]] uint64_t limit(std::string_view name, uint64_t fallback, uint64_t most);
  /// A time as Prometheus takes it: Unix seconds with fraction, or RFC 3339. As Unix nanoseconds.
  [[nodiscard]] uint64_t time_nanos(std::string_view name, uint64_t fallback);
  /// "1.2s", "100ms", "500us", "2m30s": Go's durations, as Jaeger takes them. As nanoseconds.
  [[nodiscard]] uint64_t go_duration_nanos(std::string_view name, uint64_t fallback);
  void fail(std::string_view name, std::string_view why);
  [[nodiscard]] bool ok() const noexcept { return fault_.empty(); }
  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }

 private:
  uint64_t whole_number(std::string_view name, uint64_t fallback, uint64_t least, uint64_t most);

  const net::Request& request_;
  std::string fault_;
};

[[nodiscard]] net::Result<uint64_t> parse_time_nanos(std::string_view text);
[[nodiscard]] net::Result<uint64_t> parse_go_duration(std::string_view text);

}  // namespace hms::collector
