#include "collector/api/prometheus_api.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "collector/api/prometheus_json.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "collector/query/promql/ast.h"
#include "collector/query/promql/lexer.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using net::Result;

constexpr size_t kMaxSelectors = 64;
constexpr uint64_t kMaxExemplars = 50'000;              // of one answer
constexpr int64_t kMaxTimeMillis = 18'000'000'000'000;  // query_parameters' latest

net::Error invalid(std::string_view parameter, const std::string& why) {
  return {net::Code::bad_message, net::Side::downstream, false,
          "invalid parameter \"" + std::string(parameter) + "\": " + why};
}

/// The parameters of a request, from its body and its target; the body's win, as in Prometheus.
class Form {
 public:
  static Result<Form> read(const net::Request& request) {
    Form out;
    if (request.method == "POST" && !request.body.empty()) {
      if (!request.header("content-encoding").empty()) {
        return net::Error{net::Code::bad_message, net::Side::downstream, false,
                          "a form body must not be compressed"};
      }
      auto body = net::parse_query(request.body);
      if (!body) return body.error();
      out.pairs_ = std::move(*body);
    }
    out.pairs_.insert(out.pairs_.end(), request.query.begin(), request.query.end());
    return out;
  }

  [[nodiscard]] std::string text(std::string_view name) const {
    for (const auto& [key, value] : pairs_) {
      if (key == name) return value;
    }
    return {};
  }
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& [key, value] : pairs_) {
      if (key == name) out.push_back(value);
    }
    return out;
  }

  Result<int64_t> time_millis(std::string_view name, std::optional<int64_t> fallback) const {
    const std::string given = text(name);
    if (given.empty() && fallback) return *fallback;
    const auto parsed = parse_time_nanos(given);
    if (!parsed)
      return invalid(name, "cannot parse " + promql::quoted(given) + " to a valid timestamp");
    return static_cast<int64_t>(*parsed / 1'000'000);
  }

  /// Seconds, or a duration. Absent: the fallback.
  Result<int64_t> duration_millis(std::string_view name, std::optional<int64_t> fallback) const {
    const std::string given = text(name);
    if (given.empty() && fallback) return *fallback;
    double seconds = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), seconds);
    if (error == std::errc() && end == given.data() + given.size() && std::fabs(seconds) < 1e12) {
      return static_cast<int64_t>(seconds * 1000);
    }
    int64_t millis = 0;
    if (promql::parse_duration(given, millis)) return millis;
    return invalid(name, "cannot parse " + promql::quoted(given) + " to a valid duration");
  }

  Result<size_t> limit(std::string_view name) const {
    const std::string given = text(name);
    if (given.empty()) return size_t{0};
    size_t out = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), out);
    if (error == std::errc() && end == given.data() + given.size()) return out;
    return invalid(name, "must be a whole number, 0 or more");
  }

 private:
  net::Query pairs_;
};

struct QueryRequest {
  promql::Expression expression;
  promql::QueryOptions options;
  size_t limit = 0;
  bool stats = false;
};

Result<QueryRequest> read_query(const Form& form, const promql::QueryOptions& defaults) {
  QueryRequest out;
  out.options = defaults;
  auto expression = promql::parse(form.text("query"));
  if (!expression) return invalid("query", expression.error().detail);
  out.expression = std::move(*expression);
  const auto timeout = form.duration_millis("timeout", out.options.timeout.count());
  if (!timeout) return timeout.error();
  out.options.timeout = net::Millis(std::clamp<int64_t>(*timeout, 1, out.options.timeout.count()));
  const auto lookback = form.duration_millis("lookback_delta", out.options.lookback_millis);
  if (!lookback) return lookback.error();
  if (*lookback <= 0) return invalid("lookback_delta", "must be greater than 0");
  out.options.lookback_millis = *lookback;
  const auto limit = form.limit("limit");
  if (!limit) return limit.error();
  out.limit = *limit;
  out.stats = !form.text("stats").empty();
  return out;
}

QueryAnswer answer_of(const net::Error& error) {
  if (error.code == net::Code::unsupported) return error_answer(422, "execution", error.detail);
  return error_answer(error);
}

QueryAnswer answer_of(const QueryRequest& request, Result<promql::Value> value,
                      uint64_t began_nanos) {
  if (!value) return answer_of(value.error());
  bool truncated = false;
  std::string data = query_data_json(*value, request.limit, truncated);
  if (truncated) value->warnings.emplace_back("results truncated due to limit");
  if (request.stats) {
    const double seconds = static_cast<double>(net::monotonic_nanos() - began_nanos) / 1e9;
    data.pop_back();
    data += ",\"stats\":{\"timings\":{\"execTotalTime\":";
    telemetry::append_json_number(data, seconds);
    data +=
        "},\"samples\":{\"totalQueryableSamples\":" + std::to_string(value->samples_read) + "}}}";
  }
  return {200, success_json(std::move(data), value->warnings, value->infos)};
}

/// What /series, /labels and /label/{name}/values ask about.
struct SeriesRequest {
  std::vector<std::vector<LabelMatcher>> selectors;
  int64_t start_millis = 0, end_millis = kMaxTimeMillis;
  size_t limit = 0;
};

Result<SeriesRequest> read_series_request(const Form& form) {
  SeriesRequest out;
  const auto start = form.time_millis("start", -1);
  if (!start) return start.error();
  const auto end = form.time_millis("end", kMaxTimeMillis);
  if (!end) return end.error();
  if (*end < *start) return invalid("end", "end timestamp must not be before start time");
  // `series` is left-open, the API's range is closed.
  out.start_millis = *start - 1;
  out.end_millis = *end;
  const auto limit = form.limit("limit");
  if (!limit) return limit.error();
  out.limit = *limit;
  for (const std::string& text : form.all("match[]")) {
    const auto parsed = promql::parse(text);
    if (!parsed) return invalid("match[]", parsed.error().detail);
    const promql::Expr& expr = promql::unwrap(**parsed);
    if (expr.kind != promql::NodeKind::vector_selector || expr.has_offset ||
        expr.at != promql::AtKind::none) {
      return invalid("match[]", "expected a series selector, got " + promql::quoted(text));
    }
    out.selectors.push_back(expr.matchers);
    if (out.selectors.size() > kMaxSelectors) return invalid("match[]", "more than 64 selectors");
  }
  return out;
}

Result<std::set<LabelSet>> find_series(const SeriesSource& source, const SeriesRequest& request,
                                       const std::function<bool()>& cancelled) {
  SelectLimits limits;
  limits.hide_expired = true;
  limits.cancelled = cancelled;
  std::set<LabelSet> out;
  // No selector: everything.
  std::vector<std::vector<LabelMatcher>> selectors = request.selectors;
  if (selectors.empty()) selectors.push_back({{"__name__", LabelMatcher::Kind::not_equal, ""}});
  for (const auto& selector : selectors) {
    auto found = source.series(selector, request.start_millis, request.end_millis, limits);
    if (!found) return found.error();
    for (LabelSet& labels : *found) out.insert(std::move(labels));
  }
  return out;
}

QueryAnswer texts_answer(const std::set<std::string>& texts, size_t limit) {
  std::vector<std::string> shown(texts.begin(), texts.end());
  std::vector<std::string> warnings;
  if (limit > 0 && shown.size() > limit) {
    shown.resize(limit);
    warnings.emplace_back("results truncated due to limit");
  }
  return {200, success_json(texts_json(shown), warnings)};
}

QueryAnswer series_answer(const SeriesSource& source, const SeriesRequest& request,
                          const std::function<bool()>& cancelled) {
  const auto found = find_series(source, request, cancelled);
  if (!found) return answer_of(found.error());
  std::string data = "[";
  size_t written = 0;
  std::vector<std::string> warnings;
  for (const LabelSet& labels : *found) {
    if (request.limit > 0 && written == request.limit) {
      warnings.emplace_back("results truncated due to limit");
      break;
    }
    if (written++ > 0) data += ',';
    append_labels_json(data, labels);
  }
  return {200, success_json(data + "]", warnings)};
}

QueryAnswer labels_answer(const SeriesSource& source, const SeriesRequest& request,
                          const std::function<bool()>& cancelled) {
  const auto found = find_series(source, request, cancelled);
  if (!found) return answer_of(found.error());
  std::set<std::string> names;
  for (const LabelSet& labels : *found) {
    for (const auto& [name, value] : labels) names.insert(name);
  }
  // As with the names of classic series below: people must be able to find them.
  const std::vector<MetricMetadata> metrics =
      request.selectors.empty() ? source.metadata() : std::vector<MetricMetadata>();
  if (std::any_of(metrics.begin(), metrics.end(),
                  [](const MetricMetadata& metric) { return metric.type == "histogram"; }))
    names.insert("le");
  return texts_answer(names, request.limit);
}

QueryAnswer values_answer(const SeriesSource& source, const SeriesRequest& request,
                          const std::string& label, const std::function<bool()>& cancelled) {
  const auto found = find_series(source, request, cancelled);
  if (!found) return answer_of(found.error());
  std::set<std::string> values;
  for (const LabelSet& labels : *found) {
    for (const auto& [name, value] : labels) {
      if (name == label) values.insert(value);
    }
  }
  if (label == "__name__" && request.selectors.empty()) {
    // The classic names of histograms can be asked for too, so people must be able to find them.
    for (const MetricMetadata& metric : source.metadata()) {
      if (metric.type != "histogram" || !values.contains(metric.name)) continue;
      for (const char* suffix : {"_bucket", "_count", "_sum"}) values.insert(metric.name + suffix);
    }
  }
  return texts_answer(values, request.limit);
}

QueryAnswer metadata_answer(const SeriesSource& source, const std::string& metric, size_t limit) {
  std::string data = "{";
  size_t written = 0;
  for (const MetricMetadata& one : source.metadata()) {
    if (!metric.empty() && one.name != metric) continue;
    if (limit > 0 && written == limit) break;
    if (written++ > 0) data += ',';
    telemetry::append_json_text(data, one.name);
    data += ":[{\"type\":";
    telemetry::append_json_text(data, one.type);
    data += ",\"help\":";
    telemetry::append_json_text(data, one.help);
    data += ",\"unit\":";
    telemetry::append_json_text(data, one.unit);
    data += "}]";
  }
  return {200, success_json(data + "}")};
}

void collect_selectors(const promql::Expr& expr, std::vector<std::vector<LabelMatcher>>& out) {
  promql::for_each_node(expr, [&out](const promql::Expr& node) {
    if (node.kind == promql::NodeKind::vector_selector && out.size() < kMaxSelectors)
      out.push_back(node.matchers);
  });
}

void append_exemplar_json(std::string& out, const Exemplar& exemplar) {
  out += R"({"labels":{"trace_id":")" + telemetry::to_hex(exemplar.trace_id);
  if (!exemplar.span_id.is_zero()) out += R"(","span_id":")" + telemetry::to_hex(exemplar.span_id);
  out += R"("},"value":")";
  telemetry::append_json_number(out, exemplar.value);
  out += R"(","timestamp":)";
  telemetry::append_json_number(out, static_cast<double>(exemplar.t_millis) / 1000);
  out += '}';
}

QueryAnswer exemplars_answer(const SeriesSource& source, const promql::Expr& expression,
                             int64_t start, int64_t end, const std::function<bool()>& cancelled) {
  std::vector<std::vector<LabelMatcher>> selectors;
  collect_selectors(expression, selectors);
  SelectLimits limits;
  limits.max_samples = kMaxExemplars;
  limits.cancelled = cancelled;
  std::map<LabelSet, std::vector<Exemplar>> found;
  for (const auto& selector : selectors) {
    auto series = source.exemplars(selector, start, end, limits);
    if (!series) return answer_of(series.error());
    for (ExemplarSeries& one : *series)
      found.try_emplace(std::move(one.labels), std::move(one.exemplars));
  }
  std::string data = "[";
  for (const auto& [labels, exemplars] : found) {
    if (data.size() > 1) data += ',';
    data += "{\"seriesLabels\":";
    append_labels_json(data, labels);
    data += ",\"exemplars\":[";
    for (size_t i = 0; i < exemplars.size(); ++i) {
      if (i > 0) data += ',';
      append_exemplar_json(data, exemplars[i]);
    }
    data += "]}";
  }
  return {200, success_json(data + "]")};
}

void refuse(net::Reply& reply, const net::Error& error) {
  net::send_error(reply, 400, "bad_data", error.detail);
}

/// The evaluation has a timeout of its own (the `timeout` parameter, at most two minutes).
constexpr QueryLimits kPromqlLimits{.deadline = net::Millis{150'000}};

/// The handlers' common parts.
class PrometheusApi {
 public:
  PrometheusApi(net::Loop& loop, Executor& executor, const SeriesSource& source,
                promql::QueryOptions defaults, net::Clock clock)
      : loop_(loop),
        defaults_(std::move(defaults)),
        executor_(executor),
        source_(source),
        clock_(clock ? std::move(clock) : net::Clock(net::unix_nanos)) {}

  void query(net::Request& request, const net::ReplyPtr& reply) {
    const auto form = Form::read(request);
    if (!form) return refuse(*reply, form.error());
    auto read = read_query(*form, defaults_);
    if (!read) return refuse(*reply, read.error());
    const auto time = form->time_millis("time", now_millis());
    if (!time) return refuse(*reply, time.error());
    run_query(
        loop_, executor_, reply,
        [this, read = std::move(*read), t = *time](const auto& cancelled) mutable {
          const uint64_t began = net::monotonic_nanos();
          read.options.cancelled = cancelled;
          return answer_of(read,
                           promql::PromqlEngine(source_).instant(*read.expression, t, read.options),
                           began);
        },
        kPromqlLimits);
  }

  void query_range(net::Request& request, const net::ReplyPtr& reply) {
    const auto form = Form::read(request);
    if (!form) return refuse(*reply, form.error());
    const auto start = form->time_millis("start", std::nullopt);
    if (!start) return refuse(*reply, start.error());
    const auto end = form->time_millis("end", std::nullopt);
    if (!end) return refuse(*reply, end.error());
    if (*end < *start)
      return refuse(*reply, invalid("end", "end timestamp must not be before start time"));
    const auto step = form->duration_millis("step", std::nullopt);
    if (!step) return refuse(*reply, step.error());
    if (*step <= 0) {
      return refuse(*reply, invalid("step",
                                    "zero or negative query resolution step widths are not "
                                    "accepted. Try a positive integer"));
    }
    auto read = read_query(*form, defaults_);
    if (!read) return refuse(*reply, read.error());
    run_query(
        loop_, executor_, reply,
        [this, read = std::move(*read), s = *start, e = *end,
         d = *step](const auto& cancelled) mutable {
          const uint64_t began = net::monotonic_nanos();
          read.options.cancelled = cancelled;
          return answer_of(
              read, promql::PromqlEngine(source_).range(*read.expression, s, e, d, read.options),
              began);
        },
        kPromqlLimits);
  }

  void series(net::Request& request, const net::ReplyPtr& reply) {
    ask(request, reply, [this](const SeriesRequest& asked, const auto& cancelled) {
      if (asked.selectors.empty())
        return error_answer(400, "bad_data", "no match[] parameter provided");
      return series_answer(source_, asked, cancelled);
    });
  }
  void labels(net::Request& request, const net::ReplyPtr& reply) {
    ask(request, reply, [this](const SeriesRequest& asked, const auto& cancelled) {
      return labels_answer(source_, asked, cancelled);
    });
  }
  void label_values(net::Request& request, const net::ReplyPtr& reply) {
    ask(request, reply,
        [this, label = request.path_parameters.at(0)](const SeriesRequest& asked,
                                                      const auto& cancelled) {
          return values_answer(source_, asked, label, cancelled);
        });
  }

  void metadata(net::Request& request, const net::ReplyPtr& reply) {
    const auto form = Form::read(request);
    if (!form) return refuse(*reply, form.error());
    const auto limit = form->limit("limit");
    if (!limit) return refuse(*reply, limit.error());
    run_query(loop_, executor_, reply,
              [this, metric = form->text("metric"), limit = *limit](const auto&) {
                return metadata_answer(source_, metric, limit);
              });
  }

  void query_exemplars(net::Request& request, const net::ReplyPtr& reply) {
    const auto form = Form::read(request);
    if (!form) return refuse(*reply, form.error());
    auto expression = promql::parse(form->text("query"));
    if (!expression) return refuse(*reply, invalid("query", expression.error().detail));
    const auto start = form->time_millis("start", 0);
    if (!start) return refuse(*reply, start.error());
    const auto end = form->time_millis("end", kMaxTimeMillis);
    if (!end) return refuse(*reply, end.error());
    if (*end < *start)
      return refuse(*reply, invalid("end", "end timestamp must not be before start time"));
    run_query(
        loop_, executor_, reply,
        [this, expression = std::move(*expression), s = *start, e = *end](const auto& cancelled) {
          return exemplars_answer(source_, *expression, s, e, cancelled);
        });
  }

 private:
  template <class Work>
  void ask(net::Request& request, const net::ReplyPtr& reply, Work work) {
    const auto form = Form::read(request);
    if (!form) return refuse(*reply, form.error());
    auto read = read_series_request(*form);
    if (!read) return refuse(*reply, read.error());
    run_query(loop_, executor_, reply,
              [read = std::move(*read), work = std::move(work)](const auto& cancelled) {
                return work(read, cancelled);
              });
  }
  [[nodiscard]] int64_t now_millis() const { return static_cast<int64_t>(clock_() / 1'000'000); }

  net::Loop& loop_;
  const promql::QueryOptions defaults_;
  Executor& executor_;
  const SeriesSource& source_;
  net::Clock clock_;
};

}  // namespace

void write_series_metrics(telemetry::PromWriter& writer, const SeriesStore& store) {
  const SeriesStore::Stats stats = store.stats();
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.gauge("hms_collector_series", "Series known.", {}, number(stats.series));
  writer.gauge("hms_collector_series_bytes",
               "Memory of the series besides their points, as counted against --memory.", {},
               number(stats.series_bytes));
  writer.gauge("hms_collector_series_head_samples", "Samples in memory, not yet in chunks.", {},
               number(stats.head_samples));
  writer.gauge("hms_collector_series_head_bytes", "Bytes of them.", {}, number(stats.head_bytes));
  writer.counter("hms_collector_series_compacted_samples_total",
                 "Samples of past days packed into large chunks.", {},
                 number(stats.compacted_samples));
  writer.counter("hms_collector_series_compacted_bytes_total", "Bytes they were packed into.", {},
                 number(stats.compacted_bytes));
  writer.counter("hms_collector_series_rollup_bytes_total",
                 "Bytes of their roll-ups to a minute and an hour.", {},
                 number(stats.rollup_bytes));
  writer.counter("hms_collector_series_corrupt_chunks_total", "Corrupt chunks met since the start.",
                 {}, number(stats.corrupt_chunks));
  writer.counter("hms_collector_series_samples_appended_total", "Samples stored.", {},
                 number(stats.samples_appended));
  writer.counter("hms_collector_series_samples_rejected_total",
                 "Samples refused: too old, ahead of time, or not numbers that add up.", {},
                 number(stats.samples_rejected));
  writer.counter("hms_collector_series_overflowed_total",
                 "Samples refused because there are too many series.", {},
                 number(stats.overflowed));
}

void register_prometheus_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                             const SeriesSource& source, promql::QueryOptions defaults,
                             net::Clock clock) {
  const auto api = std::make_shared<PrometheusApi>(loop, executor, source, std::move(defaults),
                                                   std::move(clock));
  using Handler = void (PrometheusApi::*)(net::Request&, const net::ReplyPtr&);
  const auto route = [&](std::string_view method, std::string_view path, Handler handler) {
    server.route(method, path, [api, handler](net::Request& request, const net::ReplyPtr& reply) {
      ((*api).*handler)(request, reply);
    });
  };
  for (const std::string_view method : {"GET", "POST"}) {
    route(method, "/api/v1/query", &PrometheusApi::query);
    route(method, "/api/v1/query_range", &PrometheusApi::query_range);
    route(method, "/api/v1/series", &PrometheusApi::series);
    route(method, "/api/v1/labels", &PrometheusApi::labels);
    route(method, "/api/v1/query_exemplars", &PrometheusApi::query_exemplars);
  }
  route("GET", "/api/v1/label/{name}/values", &PrometheusApi::label_values);
  route("GET", "/api/v1/metadata", &PrometheusApi::metadata);
}

}  // namespace hms::collector
