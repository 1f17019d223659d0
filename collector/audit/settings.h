// settings.h: which services' traces and logs are marked, and how long what is recorded about
// questions for them is kept.
//
// docs/audit.md tells it for operators. Off until a service is named. Thread: values.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace hms::collector {

struct AuditSettings {
  static constexpr size_t kMaxServices = 1'000;
  std::set<std::string, std::less<>> services;
  bool every_service = false;   // services: "*"
  std::string identity_header;  // whose value is believed to name the caller; empty: none
  uint32_t keep_days = 400;

  [[nodiscard]] bool on() const noexcept { return every_service || !services.empty(); }
  [[nodiscard]] bool marks(std::string_view service) const {
    return every_service || services.contains(service);
  }
};

}  // namespace hms::collector
