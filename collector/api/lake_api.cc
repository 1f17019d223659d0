#include "collector/api/lake_api.h"

#include <nlohmann/json.hpp>

#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "collector/store/kv.h"

namespace hms::collector {
namespace {

using nlohmann::json;

json day_json(const Lake& lake, uint32_t day) {
  json out = {{"day", day_text(day)}};
  const auto manifest = lake.manifest(day);
  if (!manifest.ok()) {
    out["error"] = net::to_string(manifest.error());
    return out;
  }
  for (const LakeTable table : kLakeTables)
    out[std::string(table_spec(table).name)] = manifest.value()->table(table).totals.rows;
  out["bytes"] = manifest.value()->bytes();
  out["rolled_at"] = manifest.value()->rolled_at;
  return out;
}

json optional_day(const std::optional<uint32_t>& day) {
  return day ? json(day_text(*day)) : json(nullptr);
}

QueryAnswer lake_body(const Lake& lake, const RollerStatus& status) {
  json days = json::array(), waiting = json::array();
  for (const uint32_t day : lake.days()) days.push_back(day_json(lake, day));
  for (const uint32_t day : status.waiting) waiting.push_back(day_text(day));
  const json body = {{"destination", lake.destination().describe()},
                     {"days", std::move(days)},
                     {"rolling", optional_day(status.rolling)},
                     {"step", status.step},
                     {"waiting", std::move(waiting)},
                     {"last_day", optional_day(status.last_day)},
                     {"last_error", status.last_error},
                     {"rolled", status.rolled},
                     {"failed", status.failed}};
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace

void register_lake_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const Lake& lake, Roller& roller) {
  server.route("GET", "/ops/lake", [&](net::Request&, const net::ReplyPtr& reply) {
    run_query(loop, executor, reply,
              [&lake, &roller](const auto&) { return lake_body(lake, roller.status()); });
  });
  server.route("POST", "/ops/lake/roll",
               [&roller](net::Request& request, const net::ReplyPtr& reply) {
                 const QueryParameters parameters(request);
                 const auto day = parse_day(parameters.text("day"));
                 if (!day)
                   return net::send_error(*reply, 400, "bad_data",
                                          "\"day\" is not a day such as 2026-11-01");
                 if (*day >= Family::of_unix_nanos(net::unix_nanos()).day)
                   return net::send_error(
                       *reply, 409, "conflict",
                       "\"day\" is " + day_text(*day) + ", which is not over yet (days are UTC)");
                 roller.request(*day);
                 reply->send(202, "application/json", json{{"waiting", day_text(*day)}}.dump());
               });
}

void register_no_lake_api(net::HttpServer& server) {
  const auto refuse = [](net::Request&, const net::ReplyPtr& reply) {
    net::send_error(*reply, 404, "not_found",
                    "there is no lake; start the collector with --lake FOLDER or s3://BUCKET");
  };
  server.route("GET", "/ops/lake", refuse);
  server.route("POST", "/ops/lake/roll", refuse);
}

void write_lake_metrics(telemetry::PromWriter& writer, const Lake& lake, const Roller& roller) {
  const RollerStatus status = roller.status();
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.gauge("hms_collector_lake_days", "Days that questions go to the lake for.", {},
               number(lake.days().size()));
  writer.gauge("hms_collector_lake_rolling", "1 while a day is rolled.", {},
               status.rolling ? 1 : 0);
  writer.counter("hms_collector_lake_rolled_total", "Days rolled since start.", {},
                 number(status.rolled));
  writer.counter("hms_collector_lake_failed_total", "Rolls that failed; they are tried again.", {},
                 number(status.failed));
  writer.counter("hms_collector_lake_rolled_for_room_total",
                 "Days rolled before their time because the disk was nearly full.", {},
                 number(status.rolled_for_room));
}

}  // namespace hms::collector
