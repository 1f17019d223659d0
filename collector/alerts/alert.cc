// alert.cc: identity and JSON of alerts.
#include "collector/alerts/alert.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using nlohmann::json;

uint64_t fnv1a(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
  return (hash ^ 0xFF) * 1099511628211ULL;
}

bool read_map(const json& from, const char* key, LabelMap& to) {
  const auto at = from.find(key);
  if (at == from.end() || !at->is_object()) return false;
  for (const auto& [name, value] : at->items()) {
    if (!value.is_string()) return false;
    to[name] = value.get<std::string>();
  }
  return true;
}

int64_t integer_or_zero(const json& from, const char* key) {
  const auto at = from.find(key);
  return at != from.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

std::string text_or_empty(const json& from, const char* key) {
  const auto at = from.find(key);
  return at != from.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

std::string_view alert_state_name(AlertState state) noexcept {
  switch (state) {
    case AlertState::inactive:
      return "inactive";
    case AlertState::pending:
      return "pending";
    case AlertState::firing:
      return "firing";
  }
  return "";
}

std::string Alert::name() const {
  const auto at = labels.find("alertname");
  return at == labels.end() ? std::string() : at->second;
}

std::string Alert::service() const {
  for (const char* key : {"service_name", "service"}) {
    const auto at = labels.find(key);
    if (at != labels.end()) return at->second;
  }
  return {};
}

std::string fingerprint(const LabelMap& labels) {
  uint64_t hash = 14695981039346656037ULL;
  for (const auto& [name, value] : labels) hash = fnv1a(fnv1a(hash, name), value);
  std::array<char, 24> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%016llx", static_cast<unsigned long long>(hash));
  return buffer.data();
}

std::string api_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Go's 'e' format with the fewest digits that read back the same.
  std::array<char, 64> buffer;
  for (int precision = 0; precision < 17; ++precision) {
    std::snprintf(buffer.data(), buffer.size(), "%.*e", precision, value);
    if (std::strtod(buffer.data(), nullptr) == value) break;
  }
  return buffer.data();
}

json to_json(const Alert& alert) {
  json out;
  out["labels"] = alert.labels;
  out["annotations"] = alert.annotations;
  out["state"] = alert_state_name(alert.state);
  out["active_at"] = alert.active_at;
  out["fired_at"] = alert.fired_at;
  out["resolved_at"] = alert.resolved_at;
  out["keep_since"] = alert.keep_since;
  if (std::isfinite(alert.value)) out["value"] = alert.value;
  out["security"] = alert.security;
  out["count"] = alert.count;
  out["group"] = alert.group;
  out["rule"] = alert.rule;
  return out;
}

net::Result<Alert> alert_from_json(const json& from) {
  const auto fault = [](const char* what) {
    return net::Error{net::Code::corrupt, net::Side::self, false,
                      std::string("stored alert: ") + what};
  };
  if (!from.is_object()) return fault("not an object");
  Alert alert;
  if (!read_map(from, "labels", alert.labels) || alert.labels.empty()) return fault("labels");
  if (!read_map(from, "annotations", alert.annotations)) return fault("annotations");
  const std::string state = text_or_empty(from, "state");
  if (state == "firing") {
    alert.state = AlertState::firing;
  } else if (state == "pending") {
    alert.state = AlertState::pending;
  } else if (state != "inactive") {
    return fault("state");
  }
  alert.active_at = integer_or_zero(from, "active_at");
  alert.fired_at = integer_or_zero(from, "fired_at");
  alert.resolved_at = integer_or_zero(from, "resolved_at");
  alert.keep_since = integer_or_zero(from, "keep_since");
  if (const auto at = from.find("value"); at != from.end() && at->is_number())
    alert.value = at->get<double>();
  if (const auto at = from.find("security"); at != from.end() && at->is_boolean())
    alert.security = at->get<bool>();
  alert.count = static_cast<uint64_t>(std::max<int64_t>(1, integer_or_zero(from, "count")));
  alert.group = text_or_empty(from, "group");
  alert.rule = text_or_empty(from, "rule");
  return alert;
}

}  // namespace hms::collector
