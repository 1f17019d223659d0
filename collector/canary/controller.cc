// controller.cc: one rollout after the other, each a small state machine.
#include "collector/canary/controller.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "collector/canary/record.h"
#include "collector/canary/rollout.h"
#include "collector/canary/verdict.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using State = RolloutState;

constexpr size_t kMaxCanaries = 200;
constexpr size_t kMaxRecord = 500;
constexpr int64_t kHoldRecordEvery = 30'000;  // ms between two records of the same hold

net::Error fault(net::Code code, std::string detail) {
  return {code, net::Side::downstream, false, std::move(detail)};
}

/// For who asked: what holds now, and that a restart would forget it.
net::Error not_stored(const net::Error& error) {
  net::Error told = error;
  told.detail =
      "this holds from now on, but could not be stored yet and a restart would forget it; "
      "it is stored as soon as the disk takes it: " +
      error.detail;
  return told;
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
        plans(table(loop, engine, Table::canary)),
        records(table(loop, engine, Table::canary_record)) {
    read_stored();
  }

  /// A decision that is in force must not be undone by a restart, however long the disk is full.
  static std::unique_ptr<DurableTable> table(net::Loop& loop, StorageEngine* engine, Table which) {
    return engine != nullptr ? make_durable_table(loop, *engine, which, OnFailure::keep)
                             : make_memory_table(loop);
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
      if (rollout.is_live()) rollout.begin_step(now());
    }
  }

  void store(const Rollout& rollout, DurableTable::Done done = {}) {
    plans->put(rollout.plan.name, rollout_text(rollout), std::move(done));
  }

  // --- decisions

  /// Writes a decision down and tells the stream. The state and weight of `rollout` are those after
  /// it.
  void decide(Rollout& rollout, Verdict::Kind verdict, std::string reason,
              DurableTable::Done done = {}) {
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
    store(rollout, std::move(done));
  }

  void changed() {
    if (listener) listener();
  }

  void finish(Rollout& rollout, State state, Verdict::Kind verdict, std::string reason,
              DurableTable::Done done = {}) {
    rollout.state = state;
    rollout.weight = state == State::promoted ? 100 : 0;
    // Sidecars first: every moment counts when it is bad.
    changed();
    ++(state == State::promoted ? stats.promoted : stats.rolled_back);
    decide(rollout, verdict, std::move(reason), std::move(done));
  }

  void on_second(int64_t second) {
    for (auto& [name, rollout] : rollouts) {
      if (rollout.is_live()) look(rollout, second);
    }
  }

  void look(Rollout& rollout, int64_t second) {
    const int64_t end = second + 1;
    if (end <= rollout.step_begin) return;
    rollout.count(window, end);
    Verdict verdict = rollout.verdict(end);
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
    rollout.end_step();
    rollout.begin_step(now());
    store(rollout);
  }

  // --- people

  /// Upstreams of running canaries are theirs alone. Callers' sidecars measure and split by the
  /// upstream's name, whatever service is behind it: there a name belongs to one service, also
  /// while a finished canary holds its weights.
  [[nodiscard]] net::Result<void> check_upstreams(const CanaryPlan& plan) const {
    for (const auto& [other_name, other] : rollouts) {
      const bool foreign = other.plan.service != plan.service;
      if (other_name == plan.name || (!foreign && !other.is_live())) continue;
      for (const std::string* upstream : {&other.plan.baseline, &other.plan.canary}) {
        if (*upstream != plan.baseline && *upstream != plan.canary) continue;
        std::string told = "the canary \"" + other_name + "\" of the service \"" +
                           other.plan.service + "\" is " + std::string(state_name(other.state)) +
                           " and uses the upstream \"" + *upstream + "\"; ";
        told += foreign ? "an upstream's name belongs to one service: use another, or delete that "
                          "canary"
                        : "end it first";
        return fault(net::Code::already_exists, std::move(told));
      }
    }
    return {};
  }

  void put(std::string_view name, const json& given, Done<bool> done) {
    auto read = read_plan(name, given);
    if (!read) return done(read.error());
    CanaryPlan plan = std::move(read).value();
    const auto old = rollouts.find(plan.name);
    const bool fresh = old == rollouts.end();
    const auto stored = [done, fresh](const net::Result<void>& result) {
      if (!result) return done(not_stored(result.error()));
      done(fresh);
    };
    // Stored once more: the first time may still be under way, or have failed.
    if (!fresh && old->second.is_live() && old->second.plan == plan)
      return store(old->second, stored);
    if (fresh && rollouts.size() >= kMaxCanaries)
      return done(
          fault(net::Code::too_large,
                "there are 200 canaries, which is the most there may be; delete finished ones"));
    if (auto free = check_upstreams(plan); !free) return done(free.error());
    if (!fresh) forget_record(old->second);
    Rollout& rollout = rollouts[plan.name] = Rollout{};
    rollout.plan = std::move(plan);
    rollout.started_at = now();
    rollout.weight = rollout.plan.steps.front();
    changed();
    rollout.count_before(window, now());
    rollout.begin_step(now());
    decide(rollout, Verdict::Kind::advance, "started at " + std::to_string(rollout.weight) + " %",
           stored);
  }

  void act(const std::string& name, Action action, const Done<void>& done) {
    const auto at = rollouts.find(name);
    if (at == rollouts.end()) return done(unknown(name));
    Rollout& rollout = at->second;
    const auto refuse = [&](std::string_view what) {
      done(fault(net::Code::already_exists, "the canary \"" + name + "\" is " +
                                                std::string(state_name(rollout.state)) +
                                                " and cannot be " + std::string(what)));
    };
    const auto stored = [done](const net::Result<void>& result) {
      done(result ? net::Result<void>() : net::Result<void>(not_stored(result.error())));
    };
    using Kind = Verdict::Kind;
    switch (action) {
      case Action::promote:
        if (!rollout.is_live()) return refuse("promoted");
        return finish(rollout, State::promoted, Kind::advance, "promoted by hand", stored);
      case Action::rollback:
        // Also what was promoted can be taken back by hand.
        if (rollout.state == State::rolled_back) return refuse("rolled back");
        return finish(rollout, State::rolled_back, Kind::rollback, "rolled back by hand", stored);
      case Action::pause:
        if (rollout.state != State::running) return refuse("paused");
        rollout.state = State::paused;
        return decide(rollout, Kind::hold, "paused by hand", stored);
      case Action::resume:
        if (rollout.state != State::paused) return refuse("resumed");
        rollout.state = State::running;
        rollout.end_step();
        rollout.begin_step(now());
        return decide(rollout, Kind::hold, "resumed by hand: the step begins anew", stored);
    }
  }

  void remove(const std::string& name, const Done<void>& done) {
    const auto at = rollouts.find(name);
    if (at == rollouts.end()) return done(unknown(name));
    forget_record(at->second);
    plans->remove(name, [done](const net::Result<void>& result) {
      done(result ? net::Result<void>() : net::Result<void>(not_stored(result.error())));
    });
    rollouts.erase(at);
    changed();
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
    if (rollout.is_live()) {
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
void CanaryController::put(std::string_view name, const json& given, Done<bool> done) {
  impl_->put(name, given, std::move(done));
}
void CanaryController::act(const std::string& name, Action action, Done<void> done) {
  impl_->act(name, action, done);
}
void CanaryController::remove(const std::string& name, Done<void> done) {
  impl_->remove(name, done);
}

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
  all.unstored = impl_->plans->unstored() + impl_->records->unstored();
  for (const auto& [name, rollout] : impl_->rollouts)
    all.running += rollout.state == State::running ? 1 : 0;
  return all;
}

}  // namespace hms::collector
