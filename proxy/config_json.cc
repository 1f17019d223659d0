#include "proxy/config_json.h"

#include <nlohmann/json.hpp>

#include "net/io/tls_config.h"

namespace hms::proxy {

namespace {

using Json = nlohmann::ordered_json;

std::string duration_text(Millis duration) { return std::to_string(duration.count()) + "ms"; }

/// A URL's query may hold a token.
std::string masked_url(const std::string& url) {
  const size_t query = url.find('?');
  return query == std::string::npos ? url : url.substr(0, query) + "?***";
}

/// Values of resource attributes whose name smells of a secret.
bool is_secret_name(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const char* word :
       {"secret", "token", "passw", "key", "credential", "auth", "cookie", "dsn"}) {
    if (name.find(word) != std::string::npos) return true;
  }
  return false;
}

/// File names are no secrets; what is in them is not told.
void add_tls(Json& json, const std::optional<net::TlsSettings>& tls) {
  if (!tls) return;
  Json of = Json::object();
  if (!tls->certificate_file.empty()) of["certificate"] = tls->certificate_file;
  if (!tls->key_file.empty()) of["key"] = tls->key_file;
  if (!tls->ca_file.empty()) of["ca"] = tls->ca_file;
  of["verify"] = net::tls_verify_name(tls->verify);
  if (!tls->peer_names.empty()) of["names"] = tls->peer_names;
  json["tls"] = of;
}

Json outlier_json(const OutlierConfig& outlier) {
  return {{"consecutive", outlier.consecutive},
          {"ejection", duration_text(outlier.ejection)},
          {"longest", duration_text(outlier.longest)},
          {"share", outlier.share},
          {"panic", outlier.panic}};
}

Json health_check_json(const HealthCheckConfig& check) {
  Json json = Json::object();
  if (!check.path.empty()) json["path"] = check.path;
  json["interval"] = duration_text(check.interval);
  json["timeout"] = duration_text(check.timeout);
  json["healthy"] = check.healthy;
  json["unhealthy"] = check.unhealthy;
  return json;
}

Json listeners_json(const Config& config) {
  Json inbound = {{"address", config.inbound_address},
                  {"app", config.app},
                  {"protocol", protocol_name(config.inbound_protocol)},
                  {"transparent", config.inbound_transparent}};
  if (!config.inbound_allow.empty()) inbound["allow"] = config.inbound_allow;
  add_tls(inbound, config.inbound_tls);
  const Json outbound = {
      {"address", config.outbound_address.empty() ? "off" : config.outbound_address},
      {"transparent", config.outbound_transparent}};
  return {{"inbound", inbound}, {"outbound", outbound}};
}

/// As resolved; what its configuration says beyond that, when it has one of its own.
Json upstream_json(const UpstreamPlan& upstream, const Config& config) {
  Json endpoints = Json::array();
  for (const auto& address : upstream.endpoints) endpoints.push_back(address.to_string());
  Json json = {{"endpoints", endpoints}, {"balance", balance_name(upstream.balance)}};
  if (upstream.connect_timeout.count() > 0)
    json["connect_timeout"] = duration_text(upstream.connect_timeout);
  json["outlier"] = outlier_json(upstream.outlier);
  if (upstream.health_check) json["health_check"] = health_check_json(*upstream.health_check);
  for (const UpstreamConfig& own : config.upstreams) {
    if (own.name != upstream.name) continue;
    add_tls(json, own.tls);
    if (!own.tls_server_name.empty()) json["server_name"] = own.tls_server_name;
  }
  return json;
}

}  // namespace

Json route_json(const RoutePlan& route, const Snapshot& snapshot) {
  Json match = Json::object();
  const RouteConfig& config = route.config;
  if (config.listener != ListenerChoice::any)
    match["listener"] = config.listener == ListenerChoice::inbound ? "inbound" : "outbound";
  if (!config.host.empty()) match["host"] = config.host;
  if (!config.path.empty()) match["path"] = config.path;
  if (!config.methods.empty()) match["methods"] = config.methods;
  Json split = Json::array();
  for (const SplitPlan& entry : route.split)
    split.push_back(
        {{"upstream", snapshot.upstreams[entry.upstream].name}, {"weight", entry.weight}});
  Json on = Json::array();
  if (config.retries.on_connect) on.push_back("connect");
  if (config.retries.on_reset) on.push_back("reset");
  for (size_t status = 0; status < config.retries.on_status.size(); ++status) {
    if (config.retries.on_status.test(status)) on.push_back(std::to_string(status));
  }
  Json json = {{"match", match}, {"split", split}};
  json["sticky"] = config.sticky == StickyKind::none    ? std::string("none")
                   : config.sticky == StickyKind::trace ? std::string("trace")
                                                        : "header:" + config.sticky_header;
  if (config.timeout.count() > 0) json["timeout"] = duration_text(config.timeout);
  json["retries"] = {
      {"attempts", config.retries.attempts}, {"on", on}, {"budget", config.retries.budget}};
  if (!config.allow.empty()) json["allow"] = config.allow;
  json["place"] = config.place;
  return json;
}

Json config_json(const Snapshot& snapshot) {
  const Config& config = snapshot.config;
  Json json;
  json["service"] = config.service;
  if (!config.service_version.empty()) json["service_version"] = config.service_version;
  Json resource = Json::object();
  for (const auto& [key, value] : config.resource)
    resource[key] = is_secret_name(key) ? "***" : value;
  json["resource"] = resource;
  json["collector"] = {{"url", masked_url(config.collector_url)},
                       {"spool", config.spool_bytes},
                       {"spool_dir", config.spool_dir}};
  add_tls(json["collector"], config.collector_tls);
  json["listeners"] = listeners_json(config);
  json["admin"] = {{"address", config.admin_address}};
  json["threads"] = config.threads;
  json["spin_us"] = config.spin.count();
  json["telemetry"] = config.telemetry;
  json["access_log"] = config.access_log;
  json["log_level"] = config.log_level;
  json["trust_forwarded"] = config.trust_forwarded;
  const Timeouts& t = config.timeouts;
  json["timeouts"] = {{"connect", duration_text(t.connect)},
                      {"connect_loopback", duration_text(t.connect_loopback)},
                      {"header", duration_text(t.header)},
                      {"body_stall", duration_text(t.body_stall)},
                      {"write_stall", duration_text(t.write_stall)},
                      {"idle", duration_text(t.idle)},
                      {"upstream_idle", duration_text(t.upstream_idle)},
                      {"detect", duration_text(t.detect)},
                      {"tunnel_idle", duration_text(t.tunnel_idle)}};
  const Limits& l = config.limits;
  json["limits"] = {{"connections", l.connections},
                    {"requests", l.requests},
                    {"request_line", l.request_line},
                    {"head", l.head},
                    {"fields", l.fields},
                    {"idle_upstream", l.idle_upstream}};
  json["drain"] = {{"grace", duration_text(config.drain.grace)},
                   {"deadline", duration_text(config.drain.deadline)}};
  Json upstreams = Json::object();
  for (const UpstreamPlan& upstream : snapshot.upstreams)
    upstreams[upstream.name] = upstream_json(upstream, config);
  json["upstreams"] = upstreams;
  Json routes = Json::array();
  for (const RoutePlan& route : snapshot.routes) routes.push_back(route_json(route, snapshot));
  json["routes"] = routes;
  return json;
}

}  // namespace hms::proxy
