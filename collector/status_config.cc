#include "collector/status_config.h"

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "net/io/tls_config.h"

namespace hms::collector {
namespace {

using nlohmann::json;

/// A JSON text is a YAML text.
std::string quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

class Yaml {
 public:
  void text(const char* key, const std::string& value) {
    if (!value.empty()) line(key, quoted(value));
  }
  void number(const char* key, uint64_t value) { line(key, std::to_string(value)); }
  void line(const std::string& key, const std::string& value) { out_ += key + ": " + value + "\n"; }
  void item(const std::string& value) { out_ += "  - " + value + "\n"; }
  void head(const char* key) { out_ += std::string(key) + ":\n"; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void add_tls(Yaml& yaml, const char* key, const std::optional<net::TlsSettings>& tls) {
  if (!tls) return;
  json of = {{"certificate", tls->certificate_file},
             {"key", tls->key_file},
             {"verify", net::tls_verify_name(tls->verify)}};
  if (!tls->ca_file.empty()) of["ca"] = tls->ca_file;
  if (!tls->peer_names.empty()) of["names"] = tls->peer_names;
  yaml.line(key, of.dump(-1, ' ', false, json::error_handler_t::replace));
}

void add_retention(Yaml& yaml, const Retention& retention) {
  yaml.number("retention_days", retention.days);
  json of = {{"days", retention.days},
             {"traces", retention.trace_days.value_or(retention.days)},
             {"logs", retention.log_days.value_or(retention.days)},
             {"metrics", retention.metrics()}};
  for (const auto& [name, service] : retention.services) {
    json own = json::object();
    if (service.traces) own["traces"] = *service.traces;
    if (service.logs) own["logs"] = *service.logs;
    of["services"][name] = own;
  }
  yaml.line("retention", of.dump(-1, ' ', false, json::error_handler_t::replace));
}

void add_lake(Yaml& yaml, const CollectorOptions& options) {
  if (options.lake.empty()) return;
  yaml.text("lake", options.lake);
  char at[8];
  std::snprintf(at, sizeof at, "%02u:%02u", options.lake_minute / 60 % 24,
                options.lake_minute % 60);
  yaml.text("lake_at", at);
  yaml.text("lake_endpoint", options.lake_endpoint);
  yaml.text("lake_region", options.lake_region);
  yaml.text("lake_credentials", options.lake_credentials);
  yaml.text("lake_ca", options.lake_ca);
  yaml.number("lake_cache", options.lake_cache_bytes);
}

void add_audit(Yaml& yaml, const AuditSettings& audit) {
  if (!audit.on()) return;
  json of = {{"services", audit.every_service ? json("*") : json(audit.services)},
             {"keep_days", audit.keep_days}};
  if (!audit.identity_header.empty()) of["identity_header"] = audit.identity_header;
  yaml.line("audit", of.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace

std::string config_in_force(const CollectorOptions& options, const std::string& listen,
                            const std::string& otlp_listen,
                            const std::vector<NotifierConfig>& notifiers) {
  Yaml yaml;
  yaml.text("data", options.data);
  yaml.text("listen", listen);
  yaml.text("otlp_listen", otlp_listen.empty() ? "off" : otlp_listen);
  add_tls(yaml, "tls", options.tls);
  add_tls(yaml, "otlp_tls", options.otlp_tls);
  yaml.text("rules", options.rules);
  yaml.text("log_format", options.log_format);
  yaml.text("log_level", options.log_level);
  yaml.text("external_url", options.external_url);
  yaml.text("backup_dir", options.backup_directory);
  yaml.number("memory", options.memory_bytes);
  yaml.line("series", "{seal_interval: " + std::to_string(options.seal_seconds) + "s}");
  add_retention(yaml, options.retention);
  yaml.number("min_free_disk", options.min_free_bytes);
  add_lake(yaml, options);
  add_audit(yaml, options.audit);
  if (!notifiers.empty()) yaml.head("notifiers");
  for (const NotifierConfig& notifier : notifiers) {
    yaml.item("{name: " + quoted(notifier.name) + ", type: " + quoted(notifier.type) +
              ", soc: " + (notifier.soc ? "true" : "false") +
              ", send_resolved: " + (notifier.send_resolved ? "true" : "false") + "}");
  }
  return yaml.take();
}

std::string keys_that_need_a_restart(const CollectorOptions& before,
                                     const CollectorOptions& after) {
  // What is shown of a configuration is one line a key.
  const auto lines_of = [](const CollectorOptions& options) {
    std::map<std::string, std::string> lines;
    std::istringstream text(config_in_force(options, options.listen, options.otlp_listen, {}));
    for (std::string line; std::getline(text, line);) {
      const size_t colon = line.find(':');
      lines[line.substr(0, colon)] = line.substr(colon);
    }
    return lines;
  };
  auto old = lines_of(before), fresh = lines_of(after);
  std::string keys;
  const auto name = [&keys](const std::string& key) { keys += (keys.empty() ? "" : ", ") + key; };
  for (const auto& [key, value] : old) {
    if (fresh[key] != value) name(key);
  }
  for (const auto& [key, value] : fresh) {
    if (!old.contains(key)) name(key);
  }
  return keys;
}

}  // namespace hms::collector
