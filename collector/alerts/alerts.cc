// alerts.cc: the room's assembly: when rules are evaluated, and where their results go.
#include "collector/alerts/alerts.h"

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>

#include "collector/alerts/alert_book.h"
#include "collector/alerts/alertmanager_json.h"
#include "collector/alerts/evaluation.h"
#include "collector/alerts/evidence.h"
#include "collector/alerts/live_series.h"
#include "collector/alerts/recording.h"
#include "collector/alerts/rule_state.h"
#include "collector/alerts/security.h"
#include "collector/query/promql/shared_results.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uint64_t kMaxSamples = 5'000'000;
constexpr net::Millis kEvaluationTimeout{10'000};

struct RuleRuntime {
  RuleState state;
  std::string health = "unknown";
  std::string last_error;
  int64_t last_evaluation = 0;  // Unix milliseconds
  double seconds = 0;
};

struct GroupRuntime {
  std::vector<RuleRuntime> rules;
  int64_t last_evaluation = 0;
  double seconds = 0;
};

/// What an evaluation on another thread needs: it may outlive the rules that were in force when it
/// began.
struct QueryContext {
  QueryContext(const SeriesSource* store, net::Clock clock)
      : live(make_live_series(store, std::move(clock))), engine(*live) {}
  std::unique_ptr<LiveSeries> live;
  promql::PromqlEngine engine;
  std::atomic<bool> cancelled{false};
};

struct Job {
  std::shared_ptr<const RuleSet> rules;
  std::vector<size_t> groups;
  int64_t t_millis = 0;
  uint64_t generation = 0;
  std::vector<EvaluationResult> results;
};

void evaluate(const QueryContext& context, Job& job) {
  promql::QueryOptions options;
  options.max_samples = kMaxSamples;
  options.timeout = kEvaluationTimeout;
  options.cancelled = [&context] { return context.cancelled.load(std::memory_order_relaxed); };
  // Rules of one moment have much in common.
  options.shared_results = std::make_shared<promql::SharedResults>(job.t_millis);
  for (const size_t group : job.groups) {
    for (const auto& rule : job.rules->groups[group].rules)
      options.shared_results->note(*rule.expression);
  }
  for (const size_t group : job.groups) {
    const auto& rules = job.rules->groups[group].rules;
    for (size_t rule = 0; rule < rules.size(); ++rule) {
      const uint64_t begin = net::monotonic_nanos();
      EvaluationResult result{group, rule,
                              evaluate_rule(context.engine, rules[rule], job.t_millis, options), 0};
      result.micros = (net::monotonic_nanos() - begin) / 1000;
      job.results.push_back(std::move(result));
    }
  }
}

std::string identity_of(const RuleGroup& group, const Rule& rule) {
  std::string text = group.file + '\x01' + group.name + '\x01' + rule.name;
  for (const auto& [name, value] : rule.labels) text += '\x01' + name + '\x02' + value.text();
  return text;
}

ordered_json texts_json(const std::vector<std::pair<std::string, Template>>& texts) {
  ordered_json out = ordered_json::object();
  for (const auto& [name, text] : texts) out[name] = text.text();
  return out;
}

}  // namespace

struct Alerts::Impl {
  Impl(net::Loop& event_loop, const LiveWindow& live_window, LiveHub& live_hub,
       StorageEngine* storage, const SeriesSource* store, AlertsOptions given)
      : loop(event_loop),
        window(live_window),
        hub(live_hub),
        engine(storage),
        options(std::move(given)),
        clock(options.clock ? options.clock : net::Clock(net::unix_nanos)),
        context(std::make_shared<QueryContext>(store, clock)),
        silences(table(Table::silence), clock),
        book(table(Table::alert_state)),
        delivery(event_loop, book, silences, clock, options.external_url) {
    book.on_durable([this] { delivery.turn(); });
    hold_until = now() + options.hold_restored.count();
    for (const auto& [key, record] : book.records()) {
      if (record.alert.resolved_at != 0) continue;
      if (record.alert.security) {
        security.restore(record.alert, now());
      } else {
        restored.push_back(record.alert);
      }
    }
  }

  std::unique_ptr<DurableTable> table(Table which) {
    return engine != nullptr ? make_durable_table(loop, *engine, which) : make_memory_table(loop);
  }
  [[nodiscard]] int64_t now() const { return static_cast<int64_t>(clock() / 1'000'000); }

  // --- rules

  void set_rules(RuleSet next) {
    auto fresh = std::make_shared<const RuleSet>(std::move(next));
    std::map<std::string, RuleState> old;
    if (rules) {
      for (size_t g = 0; g < rules->groups.size(); ++g) {
        for (size_t r = 0; r < rules->groups[g].rules.size(); ++r) {
          old.insert_or_assign(identity_of(rules->groups[g], rules->groups[g].rules[r]),
                               std::move(groups[g].rules[r].state));
        }
      }
    }
    rules = std::move(fresh);
    ++generation;
    groups.clear();
    for (const RuleGroup& group : rules->groups) {
      GroupRuntime& runtime = groups.emplace_back();
      for (const Rule& rule : group.rules) {
        RuleRuntime& one = runtime.rules.emplace_back();
        if (auto at = old.extract(identity_of(group, rule)); !at.empty())
          one.state = std::move(at.mapped());
        claim_restored(group, rule, one.state);
      }
    }
    for (auto& [identity, state] : old) apply(state.clear(now()), now());
    // What fired before the restart under a rule that is no longer there.
    for (Alert& alert : restored) {
      alert.state = AlertState::inactive;
      alert.resolved_at = now();
      apply({{AlertChange::Kind::resolved, std::move(alert)}}, now());
    }
    restored.clear();
  }

  void claim_restored(const RuleGroup& group, const Rule& rule, RuleState& state) {
    if (rule.kind != Rule::Kind::alerting) return;
    for (auto it = restored.begin(); it != restored.end();) {
      if (it->group == group.name && it->rule == rule.name) {
        state.restore(std::move(*it), hold_until);
        it = restored.erase(it);
      } else {
        ++it;
      }
    }
  }

  // --- evaluation

  void on_second(int64_t second) {
    const int64_t t = (second + 1) * 1000;
    last_second = second;
    expire_security();
    if (!rules) return;
    auto job = std::make_shared<Job>();
    for (size_t g = 0; g < groups.size(); ++g) {
      if (t - groups[g].last_evaluation >= rules->groups[g].interval.count())
        job->groups.push_back(g);
    }
    if (job->groups.empty()) return;
    if (evaluating) {
      stats.evaluations_missed += job->groups.size();
      return;
    }
    job->rules = rules;
    job->t_millis = t;
    job->generation = generation;
    start(job);
  }

  void start(const std::shared_ptr<Job>& job) {
    for (const size_t group : job->groups) groups[group].last_evaluation = job->t_millis;
    if (options.executor == nullptr) {
      evaluate(*context, *job);
      finish(*job);
      return;
    }
    evaluating = true;
    const bool taken = options.executor->try_run(
        [this, job, shared = context, &where = loop, token = std::weak_ptr<bool>(alive)] {
          evaluate(*shared, *job);
          where.post([this, job, token] {
            if (!token.lock()) return;
            evaluating = false;
            finish(*job);
          });
        });
    if (taken) return;
    evaluating = false;
    stats.evaluations_missed += job->groups.size();
  }

  void finish(Job& job) {
    if (job.generation != generation) return;  // the rules were replaced meanwhile
    std::vector<RecordedSamples> recorded;
    uint64_t micros = 0;
    for (const size_t group : job.groups) groups[group].seconds = 0;
    for (EvaluationResult& result : job.results) {
      micros += result.micros;
      GroupRuntime& group = groups[result.group];
      group.seconds += static_cast<double>(result.micros) / 1e6;
      RuleRuntime& runtime = group.rules[result.rule];
      runtime.last_evaluation = job.t_millis;
      runtime.seconds = static_cast<double>(result.micros) / 1e6;
      ++stats.evaluations;
      finish_rule(rules->groups[result.group], rules->groups[result.group].rules[result.rule],
                  runtime, result, job.t_millis, recorded);
    }
    stats.last_evaluation_micros = micros;
    store_recorded(recorded, job.t_millis);
    delivery.turn();
  }

  void finish_rule(const RuleGroup& group, const Rule& rule, RuleRuntime& runtime,
                   EvaluationResult& result, int64_t t, std::vector<RecordedSamples>& recorded) {
    if (!result.results) return failed(group, rule, runtime, result.results.error().detail);
    if (rule.kind == Rule::Kind::recording) {
      if (group.limit != 0 && result.results->size() > group.limit)
        return failed(group, rule, runtime, "the rule gave more series than the group's limit");
      RecordedSamples samples{rule.name, {}, std::move(*result.results)};
      for (const auto& [name, text] : rule.labels) samples.rule_labels[name] = text.text();
      recorded.push_back(std::move(samples));
    } else {
      auto changes = runtime.state.update(group, rule, *result.results, t);
      if (!changes) return failed(group, rule, runtime, changes.error().detail);
      apply(std::move(changes).value(), t);
    }
    runtime.health = "ok";
    runtime.last_error.clear();
  }

  void failed(const RuleGroup& group, const Rule& rule, RuleRuntime& runtime,
              const std::string& error) {
    ++stats.evaluation_failures;
    // Said once, not every second.
    if (runtime.last_error != error)
      net::log_warn("rule cannot be evaluated",
                    {{"group", group.name}, {"rule", rule.name}, {"error", error}});
    runtime.health = "err";
    runtime.last_error = error;
  }

  void store_recorded(const std::vector<RecordedSamples>& recorded, int64_t t) {
    if (engine == nullptr || recorded.empty()) return;
    IngestUnit unit;
    unit.batch.metrics = recorded_batch(recorded, t);
    if (!unit.batch.metrics) return;
    unit.batch.arrived_unix_nanos = clock();
    unit.service = "hms-collector";
    unit.bytes = 100 * unit.batch.metrics->points.size();
    engine->append(std::move(unit), [](net::Result<AppendOutcome> outcome) {
      if (!outcome)
        net::log_warn("recorded series could not be stored",
                      {{"error", net::to_string(outcome.error())}});
    });
  }

  // --- changes

  void apply(std::vector<AlertChange> changes, int64_t t) {
    for (AlertChange& change : changes) {
      switch (change.kind) {
        case AlertChange::Kind::pending:
        case AlertChange::Kind::dropped:
          break;
        case AlertChange::Kind::firing:
          add_evidence(change.alert, window, last_second);
          book.set(change.alert);
          publish(change.alert, t);
          break;
        case AlertChange::Kind::resolved:
          keep_evidence(change.alert);
          book.set(change.alert);
          publish(change.alert, t);
          break;
      }
    }
  }

  /// Annotations that were added when it fired, and that the rule does not set.
  void keep_evidence(Alert& alert) const {
    const auto at = book.records().find(fingerprint(alert.labels));
    if (at == book.records().end()) return;
    for (const auto& [name, text] : at->second.alert.annotations)
      alert.annotations.emplace(name, text);
  }

  void publish(const Alert& alert, int64_t t) {
    ordered_json event;
    const bool resolved = alert.resolved_at != 0;
    event["ts"] = t;
    event["state"] = resolved ? "resolved" : "firing";
    event["status"] = resolved ? "resolved" : "firing";
    event["alertname"] = alert.name();
    event["service"] = alert.service();
    event["labels"] = alert.labels;
    event["annotations"] = alert.annotations;
    event["activeAt"] = telemetry::rfc3339(alert.active_at);
    event["startsAt"] = starts_at_text(alert);
    if (resolved) event["endsAt"] = ends_at_text(alert);
    event["value"] = api_number(alert.value);
    event["fingerprint"] = fingerprint(alert.labels);
    event["silencedBy"] = silences.silencing(alert.labels);
    hub.publish("alert", alert.service(), {}, dump_json(event));
  }

  // --- security logs

  void on_batch(const AcceptedBatch& batch) {
    context->live->add(batch);
    if (!batch.logs) return;
    for (const telemetry::LogView& log : batch.logs->logs) {
      if (log.severity != "security") continue;
      std::string trace(log.trace_text);
      if (trace.empty() && !log.trace_id.is_zero()) trace = telemetry::to_hex(log.trace_id);
      raise_security(batch.logs->resources[log.resource].service_name, log.message, trace);
    }
  }

  /// An alert's record stays for ten minutes at least: a log of that time without one was
  /// acknowledged just before a kill.
  void recover_security(const LogStore& logs) {
    LogQuery query;
    query.start_unix_nanos =
        clock() - static_cast<uint64_t>(SecurityAlerts::kKeepMillis) * 1'000'000;
    query.severity = "security";
    query.limit = 1000;
    const auto page = logs.search(query, [] { return false; });
    if (!page) {
      net::log_error("security logs of before the start could not be read",
                     {{"error", net::to_string(page.error())}});
      return;
    }
    for (auto log = page->logs.rbegin(); log != page->logs.rend(); ++log) {
      std::string trace = log->trace_text;
      if (trace.empty() && !log->trace_id.is_zero()) trace = telemetry::to_hex(log->trace_id);
      raise_security(log->service, log->message, trace);
    }
  }

  void raise_security(std::string_view service, std::string_view message, std::string_view trace) {
    const Alert* alert = security.add(service, message, trace, now());
    if (alert == nullptr) return;
    book.set(*alert);
    publish(*alert, now());
  }

  void expire_security() {
    for (const Alert& alert : security.expire(now())) {
      book.set(alert);
      publish(alert, now());
    }
  }

  // --- answers

  [[nodiscard]] ordered_json alert_json(const Alert& alert) const {
    ordered_json out;
    out["labels"] = alert.labels;
    LabelMap annotations = alert.annotations;
    const auto record = book.records().find(fingerprint(alert.labels));
    if (record != book.records().end()) {
      for (const auto& [name, text] : record->second.alert.annotations)
        annotations.emplace(name, text);
    }
    out["annotations"] = annotations;
    out["state"] = alert_state_name(alert.state);
    out["activeAt"] = telemetry::rfc3339(alert.active_at);
    if (alert.keep_since != 0) out["keepFiringSince"] = telemetry::rfc3339(alert.keep_since);
    out["value"] = api_number(alert.value);
    if (auto by = silences.silencing(alert.labels); !by.empty()) out["silencedBy"] = by;
    return out;
  }

  [[nodiscard]] ordered_json rule_json(const Rule& rule, const RuleRuntime& runtime) const {
    const bool alerting = rule.kind == Rule::Kind::alerting;
    ordered_json out;
    if (alerting) out["state"] = alert_state_name(runtime.state.worst());
    out["name"] = rule.name;
    out["query"] = rule.expression_text;
    if (alerting) {
      out["duration"] = static_cast<double>(rule.hold.count()) / 1000;
      out["keepFiringFor"] = static_cast<double>(rule.keep_firing.count()) / 1000;
    }
    out["labels"] = texts_json(rule.labels);
    if (alerting) {
      out["annotations"] = texts_json(rule.annotations);
      out["alerts"] = ordered_json::array();
      for (const auto& [key, alert] : runtime.state.active())
        out["alerts"].push_back(alert_json(alert));
    }
    out["health"] = runtime.health;
    if (!runtime.last_error.empty()) out["lastError"] = runtime.last_error;
    out["evaluationTime"] = runtime.seconds;
    out["lastEvaluation"] = telemetry::rfc3339(runtime.last_evaluation);
    out["type"] = alerting ? "alerting" : "recording";
    return out;
  }

  [[nodiscard]] ordered_json rules_json(std::string_view type) const {
    ordered_json out;
    out["groups"] = ordered_json::array();
    for (size_t g = 0; g < groups.size(); ++g) {
      const RuleGroup& group = rules->groups[g];
      ordered_json one;
      one["name"] = group.name;
      one["file"] = group.file;
      one["rules"] = ordered_json::array();
      for (size_t r = 0; r < group.rules.size(); ++r) {
        const bool alerting = group.rules[r].kind == Rule::Kind::alerting;
        if ((type == "alert" && !alerting) || (type == "record" && alerting)) continue;
        one["rules"].push_back(rule_json(group.rules[r], groups[g].rules[r]));
      }
      if (!type.empty() && one["rules"].empty()) continue;
      one["interval"] = static_cast<double>(group.interval.count()) / 1000;
      one["limit"] = group.limit;
      one["evaluationTime"] = groups[g].seconds;
      one["lastEvaluation"] = telemetry::rfc3339(groups[g].last_evaluation);
      out["groups"].push_back(std::move(one));
    }
    return out;
  }

  [[nodiscard]] ordered_json alerts_json() const {
    ordered_json out;
    out["alerts"] = ordered_json::array();
    for (const Alert* alert : security.active()) out["alerts"].push_back(alert_json(*alert));
    for (const GroupRuntime& group : groups) {
      for (const RuleRuntime& rule : group.rules) {
        for (const auto& [key, alert] : rule.state.active())
          out["alerts"].push_back(alert_json(alert));
      }
    }
    return out;
  }

  [[nodiscard]] AlertsStats all_stats() const {
    AlertsStats all = stats;
    all.groups = groups.size();
    for (const GroupRuntime& group : groups) {
      all.rules += group.rules.size();
      for (const RuleRuntime& rule : group.rules) {
        for (const auto& [key, alert] : rule.state.active())
          ++(alert.state == AlertState::firing ? all.firing : all.pending);
      }
    }
    all.firing += security.active().size();
    all.security_logs = security.logs();
    all.security_folded = security.folded();
    all.live_series = context->live->series_count();
    all.refused = book.refused();
    all.notifiers = delivery.stats();
    return all;
  }

  net::Loop& loop;
  const LiveWindow& window;
  LiveHub& hub;
  StorageEngine* engine;
  AlertsOptions options;
  net::Clock clock;
  std::shared_ptr<QueryContext> context;
  std::shared_ptr<const RuleSet> rules;
  std::vector<GroupRuntime> groups;  // beside rules->groups
  uint64_t generation = 0;
  bool evaluating = false;
  int64_t last_second = 0;
  int64_t hold_until = 0;
  std::vector<Alert> restored;
  SecurityAlerts security;
  Silences silences;
  AlertBook book;
  Delivery delivery;
  AlertsStats stats;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

Alerts::Alerts(net::Loop& loop, const LiveWindow& window, LiveHub& hub, StorageEngine* engine,
               const SeriesSource* store, AlertsOptions options)
    : impl_(std::make_unique<Impl>(loop, window, hub, engine, store, std::move(options))) {}
Alerts::~Alerts() { impl_->context->cancelled = true; }

void Alerts::set_rules(RuleSet rules) { impl_->set_rules(std::move(rules)); }
void Alerts::set_notifiers(std::vector<NotifierConfig> configs) {
  impl_->delivery.set_notifiers(std::move(configs));
}
void Alerts::on_batch(const AcceptedBatch& batch) { impl_->on_batch(batch); }
void Alerts::recover_security_logs(const LogStore& logs) { impl_->recover_security(logs); }
void Alerts::on_second(int64_t unix_second) { impl_->on_second(unix_second); }
Silences& Alerts::silences() noexcept { return impl_->silences; }
json Alerts::rules_json(std::string_view type) const { return impl_->rules_json(type); }
json Alerts::alerts_json() const { return impl_->alerts_json(); }
AlertsStats Alerts::stats() const { return impl_->all_stats(); }

}  // namespace hms::collector
