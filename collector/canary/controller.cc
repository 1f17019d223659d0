// controller.cc: one rollout after the other, each a small state machine.
#include "collector/canary/controller.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "collector/canary/record.h"
#include "collector/canary/verdict.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxCanaries = 200;
constexpr size_t kMaxRecord = 500;
constexpr int64_t kSettledSeconds =
    60;  // older seconds do not change any more: their sums are kept
constexpr int64_t kBaselineSeconds = 60;
constexpr int64_t kBaselineMomentSeconds = 10;
constexpr int64_t kHoldRecordEvery = 30'000;  // ms between two records of the same hold

enum class State : uint8_t { running, paused, promoted, rolled_back };

std::string_view state_name(State state) {
  switch (state) {
    case State::running:
      return "running";
    case State::paused:
      return "paused";
    case State::promoted:
      return "promoted";
    case State::rolled_back:
      return "rolled_back";
  }
  return "";
}

std::optional<State> state_of(std::string_view name) {
  for (const State state : {State::running, State::paused, State::promoted, State::rolled_back}) {
    if (state_name(state) == name) return state;
  }
  return std::nullopt;
}

net::Error fault(net::Code code, std::string detail) {
  return {code, net::Side::downstream, false, std::move(detail)};
}

/// Totals since a second, without adding up the whole past each time.
class RunningTotals {
 public:
  void begin(int64_t second) {
    settled_ = WindowTotals{};
    settled_end_ = second;
  }
  WindowTotals upto(const LiveWindow& window, const WindowFilter& filter, int64_t end) {
    if (end - settled_end_ > 2 * kSettledSeconds) {
      add(settled_, window.totals(filter, settled_end_, end - kSettledSeconds));
      settled_end_ = end - kSettledSeconds;
    }
    WindowTotals totals = settled_;
    add(totals, window.totals(filter, settled_end_, end));
    return totals;
  }

 private:
  static void add(WindowTotals& to, const WindowTotals& more) {
    to.requests += more.requests;
    to.errors += more.errors;
    to.duration.merge(more.duration);
  }
  WindowTotals settled_;
  int64_t settled_end_ = 0;
};

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

struct Rollout {
  CanaryPlan plan;
  State state = State::running;
  int weight = 0;
  size_t step = 0;
  int64_t started_at = 0;                        // Unix milliseconds
  int64_t step_begin = 0;                        // the first second that counts
  VersionCounts baseline_before, canary_before;  // of finished steps
  VersionCounts baseline_now, canary_now;        // of this step, as last looked at
  std::string last_reason;
  int64_t last_hold_at = 0;
  RunningTotals inbound_baseline, inbound_canary, outbound_baseline, outbound_canary;
  std::vector<CanaryDecision> record;
  uint64_t next_entry = 0;
};

bool is_live(const Rollout& rollout) {
  return rollout.state == State::running || rollout.state == State::paused;
}

std::string record_key(const std::string& name, uint64_t entry) {
  std::string key = name;
  key.push_back('\0');
  append_be64(key, entry);
  return key;
}

}  // namespace

struct CanaryController::Impl {
  Impl(net::Loop& loop, const LiveWindow& live_window, LiveHub& live_hub, StorageEngine* engine,
       net::Clock given)
      : window(live_window),
        hub(live_hub),
        clock(given ? std::move(given) : net::Clock(net::unix_nanos)),
        plans(engine != nullptr ? make_durable_table(loop, *engine, Table::canary)
                                : make_memory_table(loop)),
        records(engine != nullptr ? make_durable_table(loop, *engine, Table::canary_record)
                                  : make_memory_table(loop)) {
    read_stored();
  }

  [[nodiscard]] int64_t now() const { return static_cast<int64_t>(clock() / 1'000'000); }

  // --- the store

  void read_stored() {
    auto stored = plans->load();
    auto entries = records->load();
    if (!stored || !entries) {
      net::log_error("canaries could not be read",
                     {{"error", net::to_string(stored ? entries.error() : stored.error())}});
      return;
    }
    for (const auto& [name, text] : *stored) {
      auto rollout = read_rollout(name, text);
      if (!rollout) {
        net::log_error("a stored canary could not be read",
                       {{"name", name}, {"error", rollout.error().detail}});
        continue;
      }
      rollouts[name] = std::move(rollout).value();
    }
    for (const auto& [key, text] : *entries) {
      const size_t end = key.find('\0');
      if (end == std::string::npos || key.size() != end + 9) continue;
      const auto at = rollouts.find(key.substr(0, end));
      auto decision = decision_from_json(json::parse(text, nullptr, false));
      if (at == rollouts.end() || !decision) continue;
      at->second.record.push_back(std::move(decision).value());
      at->second.next_entry = read_be64(std::string_view(key).substr(end + 1)) + 1;
    }
    for (auto& [name, rollout] : rollouts) {
      if (is_live(rollout)) begin_step(rollout);
    }
  }

  static net::Result<Rollout> read_rollout(const std::string& name, const std::string& text) {
    const json entry = json::parse(text, nullptr, false);
    if (!entry.is_object() || !entry.contains("plan"))
      return fault(net::Code::corrupt, "not in its form");
    auto plan = read_plan(name, entry["plan"]);
    if (!plan) return plan.error();
    try {
      Rollout rollout;
      rollout.plan = std::move(plan).value();
      const auto state = state_of(entry.at("state").get<std::string>());
      if (!state) return fault(net::Code::corrupt, "unknown state");
      rollout.state = *state;
      rollout.weight = std::clamp(entry.at("weight").get<int>(), 0, 100);
      rollout.step = std::min(entry.at("step").get<size_t>(), rollout.plan.steps.size() - 1);
      rollout.started_at = entry.at("started_at").get<int64_t>();
      rollout.baseline_before = kept_counts(entry, "baseline_before");
      rollout.canary_before = kept_counts(entry, "canary_before");
      return rollout;
    } catch (const json::exception&) {
      return fault(net::Code::corrupt, "not in its form");
    }
  }

  void store(const Rollout& rollout) {
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
    plans->put(rollout.plan.name, entry.dump());
  }

  // --- decisions

  /// Writes a decision down and tells the stream. The state and weight of `rollout` are those after
  /// it.
  void decide(Rollout& rollout, Verdict::Kind verdict, std::string reason) {
    CanaryDecision decision{now(),
                            rollout.weight,
                            verdict,
                            std::move(reason),
                            rollout.baseline_now,
                            rollout.canary_now};
    ordered_json event = decision_json(decision);
    event["name"] = rollout.plan.name;
    event["service"] = rollout.plan.service;
    event["state"] = state_name(rollout.state);
    hub.publish("canary", rollout.plan.service, {},
                event.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    net::log_info("canary decision", {{"canary", rollout.plan.name},
                                      {"state", state_name(rollout.state)},
                                      {"verdict", verdict_name(verdict)},
                                      {"weight", rollout.weight},
                                      {"reason", decision.reason}});
    records->put(
        record_key(rollout.plan.name, rollout.next_entry),
        decision_json(decision).dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    ++rollout.next_entry;
    rollout.record.push_back(std::move(decision));
    if (rollout.record.size() > kMaxRecord) {
      records->remove(record_key(rollout.plan.name, rollout.next_entry - rollout.record.size()));
      rollout.record.erase(rollout.record.begin());
    }
    store(rollout);
  }

  void changed() {
    if (listener) listener();
  }

  void begin_step(Rollout& rollout) {
    rollout.step_begin = now() / 1000 + 1;
    rollout.baseline_now = {};
    rollout.canary_now = {};
    rollout.last_reason.clear();
    rollout.last_hold_at = 0;
    for (RunningTotals* totals : {&rollout.inbound_baseline, &rollout.inbound_canary,
                                  &rollout.outbound_baseline, &rollout.outbound_canary})
      totals->begin(rollout.step_begin);
  }

  /// Keeps what this step saw as evidence for the next ones. A last step without a baseline says
  /// nothing about the difference.
  static void end_step(Rollout& rollout) {
    rollout.canary_before = sum_of(rollout.canary_before, rollout.canary_now);
    rollout.baseline_before = sum_of(rollout.baseline_before, rollout.baseline_now);
  }

  void finish(Rollout& rollout, State state, Verdict::Kind verdict, std::string reason) {
    rollout.state = state;
    rollout.weight = state == State::promoted ? 100 : 0;
    // Sidecars first: every moment counts when it is bad.
    changed();
    ++(state == State::promoted ? stats.promoted : stats.rolled_back);
    decide(rollout, verdict, std::move(reason));
  }

  void on_second(int64_t second) {
    for (auto& [name, rollout] : rollouts) {
      if (is_live(rollout)) look(rollout, second);
    }
  }

  void count(Rollout& rollout, int64_t end) {
    const auto totals = [&](RunningTotals& running, const std::string& upstream, bool outbound) {
      WindowFilter filter;
      if (!outbound) filter.service = rollout.plan.service;
      filter.upstream = upstream;
      filter.outbound = outbound;
      return counts_of(running.upto(window, filter, end), rollout.plan.limits.p99_ms);
    };
    rollout.baseline_now = totals(rollout.inbound_baseline, rollout.plan.baseline, false);
    rollout.canary_now = totals(rollout.inbound_canary, rollout.plan.canary, false);
    if (rollout.baseline_now.requests + rollout.canary_now.requests > 0) return;
    rollout.baseline_now = totals(rollout.outbound_baseline, rollout.plan.baseline, true);
    rollout.canary_now = totals(rollout.outbound_canary, rollout.plan.canary, true);
  }

  /// What the baseline did before the rollout is evidence, too: a canary of few requests is then
  /// compared with many. Its last minute, or its last ten seconds if an incident has just passed.
  void count_before(Rollout& rollout) {
    const VersionCounts minute = baseline_of_last(rollout, kBaselineSeconds);
    const VersionCounts moment = baseline_of_last(rollout, kBaselineMomentSeconds);
    rollout.baseline_before = prior_baseline(minute, moment);
  }

  [[nodiscard]] VersionCounts baseline_of_last(const Rollout& rollout, int64_t seconds) const {
    const int64_t second = now() / 1000;
    WindowFilter filter{rollout.plan.service, "", rollout.plan.baseline, false};
    WindowTotals totals = window.totals(filter, second - seconds, second);
    if (totals.requests == 0) {
      filter = {"", "", rollout.plan.baseline, true};
      totals = window.totals(filter, second - seconds, second);
    }
    return counts_of(totals, rollout.plan.limits.p99_ms);
  }

  void look(Rollout& rollout, int64_t second) {
    const int64_t end = second + 1;
    if (end <= rollout.step_begin) return;
    count(rollout, end);
    VerdictInput input;
    input.baseline = rollout.baseline_now;
    input.canary = rollout.canary_now;
    input.baseline_rollout = sum_of(rollout.baseline_before, rollout.baseline_now);
    input.canary_rollout = sum_of(rollout.canary_before, rollout.canary_now);
    // At 100 % there is nothing to compare with at the same time; yesterday's baseline would take
    // the blame for today's weather.
    if (rollout.weight == 100) input.baseline_rollout = {};
    input.limits = rollout.plan.limits;
    input.steps = rollout.plan.steps.size();
    input.step_over = end - rollout.step_begin >= rollout.plan.step_seconds;
    Verdict verdict = judge(input);
    switch (verdict.kind) {
      case Verdict::Kind::wait:
        break;
      case Verdict::Kind::rollback:
        finish(rollout, State::rolled_back, Verdict::Kind::rollback, std::move(verdict.reason));
        break;
      case Verdict::Kind::hold:
        if (rollout.state == State::running) hold(rollout, std::move(verdict.reason));
        break;
      case Verdict::Kind::advance:
        if (rollout.state == State::running) advance(rollout, std::move(verdict.reason));
        break;
    }
  }

  /// The numbers in a hold's reason change each second: it is written down when it begins, and
  /// every half minute.
  void hold(Rollout& rollout, std::string reason) {
    rollout.last_reason = reason;
    if (rollout.last_hold_at != 0 && now() - rollout.last_hold_at < kHoldRecordEvery) return;
    rollout.last_hold_at = now();
    decide(rollout, Verdict::Kind::hold, std::move(reason));
  }

  void advance(Rollout& rollout, std::string reason) {
    if (rollout.step + 1 == rollout.plan.steps.size()) {
      finish(rollout, State::promoted, Verdict::Kind::advance, "last step held: " + reason);
      return;
    }
    ++stats.advanced;
    ++rollout.step;
    rollout.weight = rollout.plan.steps[rollout.step];
    changed();
    decide(rollout, Verdict::Kind::advance, std::move(reason));
    end_step(rollout);
    begin_step(rollout);
    store(rollout);
  }

  // --- people

  net::Result<bool> put(std::string_view name, const json& given) {
    auto read = read_plan(name, given);
    if (!read) return read.error();
    CanaryPlan plan = std::move(read).value();
    const auto old = rollouts.find(plan.name);
    const bool fresh = old == rollouts.end();
    if (!fresh && is_live(old->second) && old->second.plan == plan) return false;
    if (fresh && rollouts.size() >= kMaxCanaries)
      return fault(net::Code::too_large,
                   "there are 200 canaries, which is the most there may be; delete finished ones");
    for (const auto& [other_name, other] : rollouts) {
      if (other_name == plan.name || !is_live(other) || other.plan.service != plan.service)
        continue;
      for (const std::string* upstream : {&other.plan.baseline, &other.plan.canary}) {
        if (*upstream != plan.baseline && *upstream != plan.canary) continue;
        return fault(net::Code::already_exists, "the canary \"" + other_name + "\" is " +
                                                    std::string(state_name(other.state)) +
                                                    " and uses the upstream \"" + *upstream +
                                                    "\"; end it first");
      }
    }
    if (!fresh) forget_record(old->second);
    Rollout& rollout = rollouts[plan.name] = Rollout{};
    rollout.plan = std::move(plan);
    rollout.started_at = now();
    rollout.weight = rollout.plan.steps.front();
    changed();
    count_before(rollout);
    begin_step(rollout);
    decide(rollout, Verdict::Kind::advance, "started at " + std::to_string(rollout.weight) + " %");
    return fresh;
  }

  net::Result<void> act(const std::string& name, Action action) {
    const auto at = rollouts.find(name);
    if (at == rollouts.end()) return unknown(name);
    Rollout& rollout = at->second;
    const auto refuse = [&](std::string_view what) {
      return fault(net::Code::already_exists, "the canary \"" + name + "\" is " +
                                                  std::string(state_name(rollout.state)) +
                                                  " and cannot be " + std::string(what));
    };
    switch (action) {
      case Action::promote:
        if (!is_live(rollout)) return refuse("promoted");
        finish(rollout, State::promoted, Verdict::Kind::advance, "promoted by hand");
        return {};
      case Action::rollback:
        // Also what was promoted can be taken back by hand.
        if (rollout.state == State::rolled_back) return refuse("rolled back");
        finish(rollout, State::rolled_back, Verdict::Kind::rollback, "rolled back by hand");
        return {};
      case Action::pause:
        if (rollout.state != State::running) return refuse("paused");
        rollout.state = State::paused;
        decide(rollout, Verdict::Kind::hold, "paused by hand");
        return {};
      case Action::resume:
        if (rollout.state != State::paused) return refuse("resumed");
        rollout.state = State::running;
        end_step(rollout);
        begin_step(rollout);
        decide(rollout, Verdict::Kind::hold, "resumed by hand: the step begins anew");
        return {};
    }
    return {};
  }

  net::Result<void> remove(const std::string& name) {
    const auto at = rollouts.find(name);
    if (at == rollouts.end()) return unknown(name);
    forget_record(at->second);
    plans->remove(name);
    rollouts.erase(at);
    changed();
    return {};
  }

  void forget_record(const Rollout& rollout) {
    for (uint64_t entry = rollout.next_entry - rollout.record.size(); entry < rollout.next_entry;
         ++entry)
      records->remove(record_key(rollout.plan.name, entry));
  }

  static net::Error unknown(const std::string& name) {
    return fault(net::Code::not_found, "there is no canary \"" + name.substr(0, 128) + "\"");
  }

  // --- answers

  [[nodiscard]] ordered_json shown(const Rollout& rollout) const {
    ordered_json out;
    write_plan(rollout.plan, out);
    out["state"] = state_name(rollout.state);
    out["weight"] = rollout.weight;
    out["started_at"] = rollout.started_at;
    if (is_live(rollout)) {
      // What the next decision will be made on.
      CanaryDecision current{now(),
                             rollout.weight,
                             Verdict::Kind::hold,
                             rollout.last_reason,
                             rollout.baseline_now,
                             rollout.canary_now};
      ordered_json numbers = decision_json(current);
      out["current"] = {{"step", rollout.step},
                        {"since", rollout.step_begin * 1000},
                        {"reason", rollout.last_reason},
                        {"baseline", numbers["baseline"]},
                        {"canary", numbers["canary"]}};
    }
    out["record"] = ordered_json::array();
    for (const CanaryDecision& decision : rollout.record)
      out["record"].push_back(decision_json(decision));
    return out;
  }

  [[nodiscard]] std::vector<CanarySplit> splits() const {
    std::map<std::pair<std::string, std::pair<std::string, std::string>>, const Rollout*> newest;
    for (const auto& [name, rollout] : rollouts) {
      const Rollout*& place =
          newest[{rollout.plan.service, {rollout.plan.baseline, rollout.plan.canary}}];
      if (place == nullptr || place->started_at <= rollout.started_at) place = &rollout;
    }
    std::vector<CanarySplit> all;
    for (const auto& [key, rollout] : newest)
      all.push_back({rollout->plan.name, rollout->plan.service, rollout->plan.baseline,
                     rollout->plan.canary, rollout->weight});
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
  }

  const LiveWindow& window;
  LiveHub& hub;
  net::Clock clock;
  std::unique_ptr<DurableTable> plans, records;
  std::map<std::string, Rollout> rollouts;
  std::function<void()> listener;
  CanaryStats stats;
};

CanaryController::CanaryController(net::Loop& loop, const LiveWindow& window, LiveHub& hub,
                                   StorageEngine* engine, net::Clock clock)
    : impl_(std::make_unique<Impl>(loop, window, hub, engine, std::move(clock))) {}
CanaryController::~CanaryController() = default;

void CanaryController::on_second(int64_t unix_second) { impl_->on_second(unix_second); }
net::Result<bool> CanaryController::put(std::string_view name, const json& given) {
  return impl_->put(name, given);
}
net::Result<void> CanaryController::act(const std::string& name, Action action) {
  return impl_->act(name, action);
}
net::Result<void> CanaryController::remove(const std::string& name) { return impl_->remove(name); }

net::Result<ordered_json> CanaryController::get(const std::string& name) const {
  const auto at = impl_->rollouts.find(name);
  if (at == impl_->rollouts.end()) return Impl::unknown(name);
  return impl_->shown(at->second);
}

ordered_json CanaryController::list() const {
  ordered_json all = ordered_json::array();
  for (const auto& [name, rollout] : impl_->rollouts) all.push_back(impl_->shown(rollout));
  return all;
}

std::vector<CanarySplit> CanaryController::splits() const { return impl_->splits(); }
void CanaryController::on_change(std::function<void()> callback) {
  impl_->listener = std::move(callback);
}

CanaryStats CanaryController::stats() const {
  CanaryStats all = impl_->stats;
  all.canaries = impl_->rollouts.size();
  for (const auto& [name, rollout] : impl_->rollouts)
    all.running += rollout.state == State::running ? 1 : 0;
  return all;
}

}  // namespace hms::collector
