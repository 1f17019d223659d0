#include "collector/canary/rollout.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace hms::collector {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kSettledSeconds =
    60;  // older seconds do not change any more: their sums are kept
constexpr int64_t kBaselineSeconds = 60;
constexpr int64_t kBaselineMomentSeconds = 10;

std::optional<RolloutState> state_of(std::string_view name) {
  using enum RolloutState;
  for (const RolloutState state : {running, paused, promoted, rolled_back}) {
    if (state_name(state) == name) return state;
  }
  return std::nullopt;
}

net::Error corrupt(std::string detail) {
  return {net::Code::corrupt, net::Side::self, false, std::move(detail)};
}

void add(WindowTotals& to, const WindowTotals& more) {
  to.requests += more.requests;
  to.errors += more.errors;
  to.duration.merge(more.duration);
}

VersionCounts counts_of(const WindowTotals& totals, double p99_limit_ms) {
  VersionCounts counts;
  counts.requests = totals.requests;
  counts.errors = totals.errors;
  if (totals.duration.count == 0) return counts;
  const double p99 = totals.duration.quantile(0.99);
  counts.p99_ms = std::isfinite(p99) ? p99 * 1000 : 0;
  const double below = totals.duration.fraction_below(p99_limit_ms / 1000);
  if (std::isfinite(below))
    counts.slow = static_cast<uint64_t>(
        std::llround((1 - below) * static_cast<double>(totals.duration.count)));
  counts.slow = std::min(counts.slow, counts.requests);
  return counts;
}

VersionCounts sum_of(const VersionCounts& one, const VersionCounts& other) {
  return {one.requests + other.requests, one.errors + other.errors, one.slow + other.slow,
          other.p99_ms};
}

ordered_json kept_json(const VersionCounts& counts) {
  return {{"requests", counts.requests}, {"errors", counts.errors}, {"slow", counts.slow}};
}

VersionCounts kept_counts(const json& from, const char* key) {
  VersionCounts counts;
  const auto at = from.find(key);
  if (at == from.end() || !at->is_object()) return counts;
  counts.requests = at->value("requests", uint64_t{0});
  counts.errors = at->value("errors", uint64_t{0});
  counts.slow = at->value("slow", uint64_t{0});
  return counts;
}

VersionCounts baseline_of_last(const CanaryPlan& plan, const LiveWindow& window, int64_t second,
                               int64_t seconds) {
  WindowFilter filter{plan.service, "", plan.baseline, false};
  WindowTotals totals = window.totals(filter, second - seconds, second);
  if (totals.requests == 0) {
    filter = {"", "", plan.baseline, true};
    totals = window.totals(filter, second - seconds, second);
  }
  return counts_of(totals, plan.limits.p99_ms);
}

}  // namespace

std::string_view state_name(RolloutState state) noexcept {
  switch (state) {
    case RolloutState::running:
      return "running";
    case RolloutState::paused:
      return "paused";
    case RolloutState::promoted:
      return "promoted";
    case RolloutState::rolled_back:
      return "rolled_back";
  }
  return "";
}

void RunningTotals::begin(int64_t second) {
  settled_ = WindowTotals{};
  settled_end_ = second;
}

WindowTotals RunningTotals::upto(const LiveWindow& window, const WindowFilter& filter,
                                 int64_t end) {
  if (end - settled_end_ > 2 * kSettledSeconds) {
    add(settled_, window.totals(filter, settled_end_, end - kSettledSeconds));
    settled_end_ = end - kSettledSeconds;
  }
  WindowTotals totals = settled_;
  add(totals, window.totals(filter, settled_end_, end));
  return totals;
}

void Rollout::begin_step(int64_t now_millis) {
  step_begin = now_millis / 1000 + 1;
  baseline_now = {};
  canary_now = {};
  last_reason.clear();
  last_hold_at = 0;
  for (RunningTotals* totals :
       {&inbound_baseline, &inbound_canary, &outbound_baseline, &outbound_canary})
    totals->begin(step_begin);
}

void Rollout::end_step() {
  canary_before = sum_of(canary_before, canary_now);
  // A last step without a baseline says nothing about the difference.
  baseline_before = sum_of(baseline_before, baseline_now);
}

void Rollout::count(const LiveWindow& window, int64_t end) {
  const auto totals = [&](RunningTotals& running, const std::string& upstream, bool outbound) {
    WindowFilter filter;
    if (!outbound) filter.service = plan.service;
    filter.upstream = upstream;
    filter.outbound = outbound;
    return counts_of(running.upto(window, filter, end), plan.limits.p99_ms);
  };
  baseline_now = totals(inbound_baseline, plan.baseline, false);
  canary_now = totals(inbound_canary, plan.canary, false);
  if (baseline_now.requests + canary_now.requests > 0) return;
  baseline_now = totals(outbound_baseline, plan.baseline, true);
  canary_now = totals(outbound_canary, plan.canary, true);
}

void Rollout::count_before(const LiveWindow& window, int64_t now_millis) {
  const int64_t second = now_millis / 1000;
  baseline_before = prior_baseline(baseline_of_last(plan, window, second, kBaselineSeconds),
                                   baseline_of_last(plan, window, second, kBaselineMomentSeconds));
}

Verdict Rollout::verdict(int64_t end) const {
  VerdictInput input;
  input.baseline = baseline_now;
  input.canary = canary_now;
  input.baseline_rollout = sum_of(baseline_before, baseline_now);
  input.canary_rollout = sum_of(canary_before, canary_now);
  // At 100 % there is nothing to compare with at the same time; yesterday's baseline would take the
  // blame for today's weather.
  if (weight == 100) input.baseline_rollout = {};
  input.limits = plan.limits;
  input.steps = plan.steps.size();
  input.step_over = end - step_begin >= plan.step_seconds;
  return judge(input);
}

std::string rollout_text(const Rollout& rollout) {
  ordered_json entry;
  ordered_json plan;
  write_plan(rollout.plan, plan);
  entry["plan"] = std::move(plan);
  entry["state"] = state_name(rollout.state);
  entry["weight"] = rollout.weight;
  entry["step"] = rollout.step;
  entry["started_at"] = rollout.started_at;
  entry["baseline_before"] = kept_json(rollout.baseline_before);
  entry["canary_before"] = kept_json(rollout.canary_before);
  return entry.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

net::Result<Rollout> read_rollout(const std::string& name, const std::string& text) {
  const json entry = json::parse(text, nullptr, false);
  if (!entry.is_object() || !entry.contains("plan")) return corrupt("not in its form");
  auto plan = read_plan(name, entry["plan"]);
  if (!plan) return plan.error();
  try {
    Rollout rollout;
    rollout.plan = std::move(plan).value();
    const auto state = state_of(entry.at("state").get<std::string>());
    if (!state) return corrupt("unknown state");
    rollout.state = *state;
    rollout.weight = std::clamp(entry.at("weight").get<int>(), 0, 100);
    rollout.step = std::min(entry.at("step").get<size_t>(), rollout.plan.steps.size() - 1);
    rollout.started_at = entry.at("started_at").get<int64_t>();
    rollout.baseline_before = kept_counts(entry, "baseline_before");
    rollout.canary_before = kept_counts(entry, "canary_before");
    return rollout;
  } catch (const json::exception&) {
    return corrupt("not in its form");
  }
}

}  // namespace hms::collector
