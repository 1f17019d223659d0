// admin.cc: the admin interface (docs/http.md): what is going on, and the few things that may be
// asked of a running proxy. Loopback by default. Whatever changes something is a POST: GET on it
// answers 405. Secrets are masked.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/core/log.h"
#include "net/http/url.h"
#include "proxy/config_json.h"
#include "proxy/sidecar.h"

namespace hms::proxy {

namespace {

using Json = nlohmann::ordered_json;

Json canaries_json(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const CanaryWeight& canary : snapshot.canaries) {
    list.push_back({{"name", canary.name},
                    {"service", canary.service},
                    {"baseline", canary.baseline},
                    {"canary", canary.canary},
                    {"weight", canary.weight}});
  }
  return list;
}

const char* health_of(const EndpointState& state) {
  if (state.check_failed) return "check_failed";
  if (state.ejected_millis > 0) return "ejected";
  return state.connect_failures == 0 || state.connections > 0 ? "healthy" : "failing";
}

/// Unix milliseconds, or null.
Json ejected_until(const EndpointState& state) {
  return state.ejected_millis == 0
             ? Json(nullptr)
             : Json(net::unix_millis() + static_cast<int64_t>(state.ejected_millis));
}

Json endpoint_json(const EndpointState& state) {
  return {{"address", state.address},
          {"health", health_of(state)},
          {"weight", state.weight},
          {"in_flight", state.in_flight},
          {"ejected_until", ejected_until(state)},
          {"ejections", state.ejections},
          {"connections", state.connections},
          {"idle", state.idle},
          {"latency_ms", state.latency_ms},
          {"idle_limit_ms", state.idle_limit_ms},
          {"requests", state.requests},
          {"failures", state.failures},
          {"connects", state.connects},
          {"connect_failures", state.connect_failures},
          {"reused", state.reused},
          {"stale", state.stale}};
}

/// Each endpoint once, as all workers together see it.
std::vector<EndpointState> summed(const std::vector<std::unique_ptr<WorkerReport>>& reports) {
  std::vector<EndpointState> all;
  for (const auto& report : reports) {
    for (const EndpointState& state : report->endpoints) {
      const auto same = std::find_if(all.begin(), all.end(), [&state](const EndpointState& other) {
        return other.upstream == state.upstream && other.address == state.address;
      });
      if (same == all.end())
        all.push_back(state);
      else
        same->add(state);
    }
  }
  return all;
}

void send_json(const net::ReplyPtr& reply, const Json& json, int status = 200) {
  reply->send(status, "application/json",
              json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

net::Result<net::SocketAddress> Sidecar::start_admin() {
  net::ServerOptions options;
  options.max_body_bytes = 64 * 1024;
  options.max_buffered_bytes = 1024 * 1024;
  options.max_connections = 64;
  admin_ = net::HttpServer::create(loop_, options);
  using net::ReplyPtr;
  using net::Request;
  admin_->route("GET", "/healthz",
                [](Request&, const ReplyPtr& reply) { reply->send(200, "text/plain", "ok\n"); });
  admin_->route("GET", "/readyz", [this](Request&, const ReplyPtr& reply) {
    if (ready_ && !draining_)
      reply->send(200, "text/plain", "ready\n");
    else
      reply->send(503, "text/plain", draining_ ? "draining\n" : "starting\n");
  });
  admin_->route("GET", "/metrics",
                [this](Request& request, const ReplyPtr& reply) { admin_metrics(request, reply); });
  admin_->route("GET", "/config", [this](Request&, const ReplyPtr& reply) { admin_config(reply); });
  admin_->route("GET", "/routes", [this](Request&, const ReplyPtr& reply) { admin_routes(reply); });
  admin_->route("GET", "/upstreams",
                [this](Request&, const ReplyPtr& reply) { admin_upstreams(reply); });
  admin_->route("POST", "/drain", [this](Request&, const ReplyPtr& reply) {
    if (!draining_) {
      net::log_info("drain asked for: not ready any more, still accepting");
      begin_drain();
    }
    reply->send(200, "application/json", "{\"status\":\"success\",\"draining\":true}\n");
  });
  admin_->route("POST", "/reload", [this](Request&, const ReplyPtr& reply) {
    if (reload("POST /reload"))
      send_json(reply, {{"status", "success"}, {"generation", generation_}});
    else
      net::send_error(*reply, 400, "bad_config", last_reload_error_);
  });
  admin_->route("POST", "/loglevel", [this](Request& request, const ReplyPtr& reply) {
    admin_loglevel(request, reply);
  });
  auto wanted = net::SocketAddress::parse(config_.admin_address);
  if (!wanted.ok()) return wanted.error();
  return admin_->listen(*wanted);
}

void Sidecar::admin_metrics(const net::Request& request, const net::ReplyPtr& reply) {
  const auto format = telemetry::PromWriter::negotiate(request.header("accept"));
  // A flip, so that the page is not up to a second old; the delta goes the usual way.
  collect(ProxyWorker::Detail::delta, [this, reply, format](Reports reports) {
    note(reports);
    const OwnNumbers all = numbers(reports);
    if (!ended_) export_deltas(std::move(reports), OwnMetrics::none);
    reply->send(200, telemetry::PromWriter::content_type(format),
                metrics_page(all, totals_, config_.service, format));
  });
}

void Sidecar::admin_config(const net::ReplyPtr& reply) {
  Json json = config_json(*snapshot_);
  json["generation"] = snapshot_->generation;
  json["canaries"] = {{"version", snapshot_->canary_version},
                      {"splits", canaries_json(*snapshot_)}};
  if (!last_reload_error_.empty()) json["last_reload_error"] = last_reload_error_;
  send_json(reply, json);
}

void Sidecar::admin_routes(const net::ReplyPtr& reply) {
  collect(ProxyWorker::Detail::everything, [this, reply](Reports reports) {
    Json configured = Json::array();
    for (const RoutePlan& route : snapshot_->routes)
      configured.push_back(route_json(route, *snapshot_));
    Json learned = Json::array();
    uint64_t folded = 0;
    std::vector<std::string> seen;
    for (const auto& report : reports) {
      folded += report->routes_folded;
      for (const std::string& route : report->routes) {
        if (std::find(seen.begin(), seen.end(), route) == seen.end()) seen.push_back(route);
      }
    }
    for (const std::string& route : seen) learned.push_back(route);
    send_json(reply, {{"configured", configured},
                      {"learned", learned},
                      {"folded_into_other", folded},
                      {"limit", RouteLearner::kMaxTemplates}});
  });
}

void Sidecar::admin_upstreams(const net::ReplyPtr& reply) {
  collect(ProxyWorker::Detail::everything, [this, reply](Reports reports) {
    const std::vector<EndpointState> all = summed(reports);
    Json upstreams = Json::array();
    for (const UpstreamPlan& plan : snapshot_->upstreams) {
      Json endpoints = Json::array();
      for (const EndpointState& state : all) {
        if (state.upstream == plan.name) endpoints.push_back(endpoint_json(state));
      }
      upstreams.push_back(
          {{"name", plan.name}, {"balance", balance_name(plan.balance)}, {"endpoints", endpoints}});
    }
    Json direct = Json::array();
    for (const EndpointState& state : all) {
      if (!state.upstream.empty()) continue;
      direct.push_back({{"address", state.address},
                        {"in_flight", state.in_flight},
                        {"idle", state.idle},
                        {"requests", state.requests}});
    }
    Json splits = Json::array();
    for (const RoutePlan& route : snapshot_->routes) {
      if (route.is_split) splits.push_back(route_json(route, *snapshot_));
    }
    send_json(reply,
              {{"upstreams", upstreams},
               {"direct", direct},
               {"splits", splits},
               {"canaries",
                {{"version", snapshot_->canary_version}, {"splits", canaries_json(*snapshot_)}}}});
  });
}

void Sidecar::admin_loglevel(const net::Request& request, const net::ReplyPtr& reply) {
  const std::string* text = request.query_value("level");
  const auto level = net::parse_log_level(text != nullptr ? *text : std::string());
  if (!level.ok())
    return net::send_error(*reply, 400, "bad_data", "level: " + level.error().detail);
  net::log_set_level(*level);
  reply->send(200, "application/json", "{\"status\":\"success\",\"level\":\"" + *text + "\"}\n");
}

}  // namespace hms::proxy
