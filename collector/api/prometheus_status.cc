#include "collector/api/prometheus_status.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>

#include "collector/api/prometheus_json.h"
#include "collector/api/query_task.h"
#include "net/core/clock.h"
#include "telemetry/text.h"
#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

constexpr auto kJson = "application/json";
constexpr size_t kDefaultRows = 10, kMaxRows = 10'000;

// Grafana takes the version to know what may be asked. No `features`: with them it would take us
// for Mimir.
constexpr std::string_view kBuildInfo =
    R"({"status":"success","data":{"version":"3.0.0","revision":"hms-ops","branch":"","buildUser":"","buildDate":"","goVersion":""}})";

void put_text(std::string& out, std::string_view name, std::string_view value) {
  if (out.size() > 1) out += ',';
  telemetry::append_json_text(out, name);
  out += ':';
  telemetry::append_json_text(out, value);
}

std::string flags_json(const StatusInfo& info) {
  std::string out = "{";
  for (const auto& [name, value] : info.flags) put_text(out, name, value);
  return out + "}";
}

std::string runtime_json(const StatusInfo& info, uint64_t started_nanos,
                         const SeriesStore::Stats& stats) {
  std::string out = "{";
  put_text(out, "startTime", telemetry::rfc3339(static_cast<int64_t>(started_nanos / 1'000'000)));
  char folder[4096];
  put_text(out, "CWD", ::getcwd(folder, sizeof folder) == nullptr ? "" : folder);
  out +=
      ",\"reloadConfigSuccess\":true,\"corruptionCount\":" + std::to_string(stats.corrupt_chunks) +
      ",\"goroutineCount\":0,\"GOMAXPROCS\":" +
      std::to_string(std::max(1u, std::thread::hardware_concurrency()));
  put_text(out, "storageRetention", std::to_string(info.retention_days) + "d");
  return out + "}";
}

std::string rows_json(const std::vector<Cardinality::Row>& rows) {
  std::string out = "[";
  for (const Cardinality::Row& row : rows) {
    if (out.size() > 1) out += ',';
    out += "{\"name\":";
    telemetry::append_json_text(out, row.name);
    out += ",\"value\":" + std::to_string(row.value) + "}";
  }
  return out + "]";
}

QueryAnswer tsdb_answer(const SeriesStore& store, size_t limit) {
  const Cardinality found = store.cardinality(limit);
  const SeriesStore::Stats stats = store.stats();
  std::string data = "{\"headStats\":{\"numSeries\":" + std::to_string(found.series) +
                     ",\"numLabelPairs\":" + std::to_string(found.label_pairs) +
                     ",\"chunkCount\":" + std::to_string(stats.head_blocks) +
                     ",\"minTime\":" + std::to_string(stats.head_first_millis) +
                     ",\"maxTime\":" + std::to_string(stats.head_last_millis) + "}";
  data += ",\"seriesCountByMetricName\":" + rows_json(found.series_by_metric);
  data += ",\"labelValueCountByLabelName\":" + rows_json(found.values_by_label);
  data += ",\"memoryInBytesByLabelName\":" + rows_json(found.bytes_by_label);
  data += ",\"seriesCountByLabelValuePair\":" + rows_json(found.series_by_pair);
  return {200, success_json(data + "}")};
}

}  // namespace

void register_prometheus_status(net::HttpServer& server, net::Loop& loop, Executor& executor,
                                const SeriesStore& store, StatusInfo info) {
  const auto shared = std::make_shared<const StatusInfo>(std::move(info));
  const uint64_t started = net::unix_nanos();
  const auto answer = [&server](std::string_view path, auto body) {
    server.route("GET", path, [body](net::Request&, const net::ReplyPtr& reply) {
      reply->send(200, kJson, body());
    });
  };
  answer("/api/v1/status/buildinfo", [] { return std::string(kBuildInfo); });
  answer("/api/v1/status/flags", [shared] { return success_json(flags_json(*shared)); });
  answer("/api/v1/status/runtimeinfo", [shared, started, &store] {
    return success_json(runtime_json(*shared, started, store.stats()));
  });
  answer("/api/v1/status/config", [shared] {
    std::string data = "{";
    put_text(data, "yaml", shared->yaml());
    return success_json(data + "}");
  });
  server.route("GET", "/api/v1/status/tsdb",
               [&loop, &executor, &store](net::Request& request, const net::ReplyPtr& reply) {
                 size_t limit = kDefaultRows;
                 for (const auto& [name, value] : request.query) {
                   if (name != "limit") continue;
                   const char* end = value.data() + value.size();
                   const auto [stop, wrong] = std::from_chars(value.data(), end, limit);
                   if (wrong != std::errc() || stop != end || limit == 0 || limit > kMaxRows) {
                     net::send_error(*reply, 400, "bad_data",
                                     "invalid parameter \"limit\": must be a whole number from 1 "
                                     "to 10000");
                     return;
                   }
                 }
                 run_query(loop, executor, reply,
                           [&store, limit](const auto&) { return tsdb_answer(store, limit); });
               });
}

}  // namespace hms::collector
