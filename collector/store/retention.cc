#include "collector/store/retention.h"

namespace hms::collector {
namespace {

/// FNV-1a.
uint64_t mixed(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ULL;
  return (hash ^ 0xFFU) * 0x100000001B3ULL;  // ends the text: no byte of UTF-8
}

}  // namespace

uint64_t SignalRetention::state_at(uint32_t age) const {
  const bool usual = age <= days;
  uint64_t hash = mixed(0xCBF29CE484222325ULL, usual ? "kept but for" : "dropped but for");
  bool all = usual;
  for (const auto& [name, own] : services) {
    if ((age <= own) == usual) continue;
    hash = mixed(hash, name);
    all = false;
  }
  return all ? 0 : std::max<uint64_t>(hash, 1);
}

SignalRetention Retention::traces() const {
  SignalRetention out{trace_days.value_or(days), {}};
  for (const auto& [name, own] : services) {
    if (own.traces) out.services[name] = *own.traces;
  }
  return out;
}

SignalRetention Retention::logs() const {
  SignalRetention out{log_days.value_or(days), {}};
  for (const auto& [name, own] : services) {
    if (own.logs) out.services[name] = *own.logs;
  }
  return out;
}

Retention Retention::with_lake() const {
  const auto bound = [this](const std::optional<uint32_t>& given) {
    return given && *given < days ? *given : UINT32_MAX;
  };
  Retention out = *this;
  out.trace_days = bound(trace_days);
  out.log_days = bound(log_days);
  out.metric_days = bound(metric_days);
  for (auto& [name, own] : out.services) {
    if (own.traces) own.traces = bound(own.traces);
    if (own.logs) own.logs = bound(own.logs);
  }
  return out;
}

uint32_t Retention::widest() const {
  return std::max({traces().widest(), logs().widest(), metrics()});
}

}  // namespace hms::collector
