// canary_api.cc: routes to the controller.
#include "collector/api/canary_api.h"

#include <nlohmann/json.hpp>

#include "collector/api/json_body.h"

namespace hms::collector {
namespace {

void show(CanaryController& canaries, const std::string& name, net::Reply& reply, int status) {
  auto found = canaries.get(name);
  if (!found) return answer_error(reply, found.error());
  reply.send(status, "application/json", dump(*found));
}

void register_action(net::HttpServer& server, CanaryController& canaries, std::string_view word,
                     CanaryController::Action action) {
  server.route("POST", "/ops/canaries/{name}/" + std::string(word),
               [&canaries, action](net::Request& request, const net::ReplyPtr& reply) {
                 const std::string& name = request.path_parameters[0];
                 canaries.act(name, action, [&canaries, reply, name](net::Result<void> done) {
                   if (!done) return answer_error(*reply, done.error());
                   show(canaries, name, *reply, 200);
                 });
               });
}

}  // namespace

void register_canary_api(net::HttpServer& server, CanaryController& canaries) {
  server.route("GET", "/ops/canaries", [&canaries](net::Request&, const net::ReplyPtr& reply) {
    reply->send(200, "application/json", dump(canaries.list()));
  });
  server.route("GET", "/ops/canaries/{name}",
               [&canaries](net::Request& request, const net::ReplyPtr& reply) {
                 show(canaries, request.path_parameters[0], *reply, 200);
               });
  server.route("PUT", "/ops/canaries/{name}",
               [&canaries](net::Request& request, const net::ReplyPtr& reply) {
                 auto body = read_json_body(request);
                 if (!body) return answer_error(*reply, body.error());
                 const std::string& name = request.path_parameters[0];
                 canaries.put(name, *body, [&canaries, reply, name](net::Result<bool> fresh) {
                   if (!fresh) return answer_error(*reply, fresh.error());
                   show(canaries, name, *reply, *fresh ? 201 : 200);
                 });
               });
  server.route("DELETE", "/ops/canaries/{name}",
               [&canaries](net::Request& request, const net::ReplyPtr& reply) {
                 canaries.remove(request.path_parameters[0], [reply](net::Result<void> removed) {
                   if (!removed) return answer_error(*reply, removed.error());
                   reply->send(200, "application/json", R"({"status":"success"})");
                 });
               });
  using Action = CanaryController::Action;
  register_action(server, canaries, "promote", Action::promote);
  register_action(server, canaries, "rollback", Action::rollback);
  register_action(server, canaries, "pause", Action::pause);
  register_action(server, canaries, "resume", Action::resume);
}

void write_canary_metrics(telemetry::PromWriter& writer, const CanaryController& canaries) {
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  const CanaryStats stats = canaries.stats();
  writer.gauge("hms_collector_canaries", "canaries known", {}, number(stats.canaries));
  writer.gauge("hms_collector_canaries_running", "canaries running", {}, number(stats.running));
  writer.counter("hms_collector_canary_advances_total", "steps taken forward", {},
                 number(stats.advanced));
  writer.counter("hms_collector_canary_rollbacks_total", "canaries rolled back", {},
                 number(stats.rolled_back));
  writer.counter("hms_collector_canary_promotions_total", "canaries promoted", {},
                 number(stats.promoted));
  writer.gauge("hms_collector_canary_changes_unstored",
               "decisions in force that are not durable yet", {}, number(stats.unstored));
  for (const CanarySplit& split : canaries.splits()) {
    writer.gauge("hms_collector_canary_weight_percent", "share of requests sent to the canary",
                 {{"canary", split.name}, {"service", split.service}}, split.weight);
  }
}

}  // namespace hms::collector
