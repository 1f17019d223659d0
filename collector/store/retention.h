// retention.h: how many days each signal, and each service within it, is kept. Thread: values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hms::collector {

/// Whole UTC days besides today.
struct SignalRetention {
  uint32_t days = UINT32_MAX;
  std::map<std::string, uint32_t, std::less<>> services;  // with a bound of their own

  /// `age`: days since the record's day.
  [[nodiscard]] bool keeps(std::string_view service, uint32_t age) const {
    const auto own = services.find(service);
    return age <= (own == services.end() ? days : own->second);
  }
  /// Nothing is kept of that age.
  [[nodiscard]] bool drops_all(uint32_t age) const { return age > widest(); }
  [[nodiscard]] uint32_t widest() const {
    uint32_t out = days;
    for (const auto& [name, own] : services) out = std::max(out, own);
    return out;
  }
  /// Which services are kept at that age, as a number that differs when the answer does; 0: all.
  [[nodiscard]] uint64_t state_at(uint32_t age) const;
};

/// What the configuration says.
struct Retention {
  static constexpr size_t kMaxServices = 1'000;
  struct Service {
    std::optional<uint32_t> traces, logs;
  };
  uint32_t days = 30;  // what is not said otherwise
  std::optional<uint32_t> trace_days, log_days, metric_days;
  std::map<std::string, Service, std::less<>> services;

  [[nodiscard]] SignalRetention traces() const;
  [[nodiscard]] SignalRetention logs() const;
  [[nodiscard]] uint32_t metrics() const noexcept { return metric_days.value_or(days); }
  /// As it is with a lake, where days go that are past `days`: what is kept as long or longer than
  /// that goes there and is never deleted, only shorter bounds delete.
  [[nodiscard]] Retention with_lake() const;
  /// Until when anything of a day is kept.
  [[nodiscard]] uint32_t widest() const;
};

}  // namespace hms::collector
