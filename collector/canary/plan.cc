// plan.cc: every field with its bound.
#include "collector/canary/plan.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using nlohmann::json;

net::Error fault(std::string detail) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(detail)};
}

std::string shown(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 60);
}

net::Result<void> known_fields(const json& object, std::string_view where,
                               std::initializer_list<std::string_view> allowed) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(allowed.begin(), allowed.end(), key) != allowed.end()) continue;
    std::string names;
    for (const std::string_view name : allowed)
      names += (names.empty() ? "" : ", ") + std::string(name);
    return fault(std::string(where) + "unknown field \"" + key.substr(0, 60) +
                 "\"; allowed: " + names);
  }
  return {};
}

net::Result<std::string> text_field(const json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end()) return fault(std::string(key) + " is missing");
  if (!at->is_string()) return fault(std::string(key) + " is " + shown(*at) + ", expected a text");
  std::string text = at->get<std::string>();
  if (text.empty() || text.size() > 256)
    return fault(std::string(key) + " has " + std::to_string(text.size()) +
                 " bytes, expected 1 to 256");
  return text;
}

net::Result<void> read_steps(const json& value, CanaryPlan& plan) {
  if (!value.is_array() || value.empty() || value.size() > 50)
    return fault("steps is " + shown(value) +
                 ", expected a list of 1 to 50 percentages, for example [5, 10, 25, 50, 100]");
  plan.steps.clear();
  for (const json& step : value) {
    if (!step.is_number_integer() || step.get<int64_t>() < 1 || step.get<int64_t>() > 100) {
      return fault("steps[" + std::to_string(plan.steps.size()) + "] is " + shown(step) +
                   ", expected a whole number from 1 to 100");
    }
    const int weight = static_cast<int>(step.get<int64_t>());
    if (!plan.steps.empty() && weight <= plan.steps.back()) {
      return fault("steps[" + std::to_string(plan.steps.size()) + "] is " + std::to_string(weight) +
                   ", expected more than the one before (" + std::to_string(plan.steps.back()) +
                   ")");
    }
    plan.steps.push_back(weight);
  }
  return {};
}

net::Result<double> number_field(const json& value, const char* name, double least, double most) {
  if (!value.is_number())
    return fault(std::string(name) + " is " + shown(value) + ", expected a number");
  const double number = value.get<double>();
  if (!std::isfinite(number) || number < least || number > most) {
    return fault(std::string(name) + " is " + shown(value) + ", expected " + json(least).dump() +
                 " to " + json(most).dump());
  }
  return number;
}

net::Result<void> read_limits(const json& value, CanaryPlan& plan) {
  if (!value.is_object())
    return fault("limits is " + shown(value) + ", expected an object with error_rate and p99_ms");
  if (auto known = known_fields(value, "limits: ", {"error_rate", "p99_ms"}); !known) return known;
  if (const auto at = value.find("error_rate"); at != value.end()) {
    auto number = number_field(*at, "limits.error_rate", 0, 1);
    if (!number) return number.error();
    plan.limits.error_rate = *number;
  }
  if (const auto at = value.find("p99_ms"); at != value.end()) {
    auto number = number_field(*at, "limits.p99_ms", 1, 3'600'000);
    if (!number) return number.error();
    plan.limits.p99_ms = *number;
  }
  return {};
}

}  // namespace

bool is_canary_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 128 || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

net::Result<CanaryPlan> read_plan(std::string_view name, const json& given) {
  if (!is_canary_name(name))
    return fault("a canary's name has 1 to 128 letters, digits, '.', '_' or '-'");
  if (!given.is_object())
    return fault("a canary is a JSON object with service, baseline and canary");
  // `name` may come along, as GET gives it, if it is the same.
  if (const auto at = given.find("name"); at != given.end() && *at != json(name))
    return fault("name is " + shown(*at) + ", but the path says \"" + std::string(name) + "\"");
  if (auto known = known_fields(
          given, "", {"name", "service", "baseline", "canary", "steps", "step_seconds", "limits"});
      !known)
    return known.error();
  CanaryPlan plan;
  plan.name = name;
  for (const auto& [key, target] :
       {std::pair{"service", &plan.service}, std::pair{"baseline", &plan.baseline},
        std::pair{"canary", &plan.canary}}) {
    auto text = text_field(given, key);
    if (!text) return text.error();
    *target = std::move(text).value();
  }
  if (plan.baseline == plan.canary)
    return fault("baseline and canary are both \"" + plan.canary + "\", expected two upstreams");
  if (const auto at = given.find("steps"); at != given.end()) {
    if (auto read = read_steps(*at, plan); !read) return read.error();
  }
  if (const auto at = given.find("step_seconds"); at != given.end()) {
    if (!at->is_number_integer() || at->get<int64_t>() < 1 || at->get<int64_t>() > 86'400)
      return fault("step_seconds is " + shown(*at) + ", expected a whole number from 1 to 86400");
    plan.step_seconds = at->get<int64_t>();
  }
  if (const auto at = given.find("limits"); at != given.end()) {
    if (auto read = read_limits(*at, plan); !read) return read.error();
  }
  return plan;
}

void write_plan(const CanaryPlan& plan, nlohmann::ordered_json& out) {
  out["name"] = plan.name;
  out["service"] = plan.service;
  out["baseline"] = plan.baseline;
  out["canary"] = plan.canary;
  out["steps"] = plan.steps;
  out["step_seconds"] = plan.step_seconds;
  out["limits"] = {{"error_rate", plan.limits.error_rate}, {"p99_ms", plan.limits.p99_ms}};
}

}  // namespace hms::collector
