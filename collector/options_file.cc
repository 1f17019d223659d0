// options_file.cc: the keys of the configuration file, each fault with its file, line and key.
#include <algorithm>

#include "collector/alerts/registry.h"
#include "collector/audit/record.h"
#include "collector/option_bounds.h"
#include "collector/options.h"
#include "net/io/tls_config.h"

namespace hms::collector {
namespace {

/// Text that `check` finds right; else a fault, and the target as it was.
template <class Check>
void read_checked(const net::YamlNode& node, std::string& target, const Check& check) {
  std::string text;
  if (!node.read(text)) return;
  if (const auto valid = check(text); valid.ok())
    target = std::move(text);
  else
    node.fail(valid.error().detail);
}

void read_tls_block(const net::YamlNode& node, std::optional<net::TlsSettings>& target) {
  net::TlsSettings settings;
  if (!net::read_tls(node, settings)) return;
  // What the block itself lacks is told by read_tls; here it is what the files lack.
  if (net::check_tls_settings(settings).ok()) {
    if (const auto context = net::TlsContext::make(settings); !context.ok())
      node.fail(context.error().detail);
  }
  target = std::move(settings);
}

template <class Days>
void read_days(const net::YamlNode& node, Days& target) {
  int64_t days = 0;
  if (node.read_integer(days, 1, kMaxRetentionDays)) target = static_cast<uint32_t>(days);
}

void read_retention(const net::YamlNode& node, const net::YamlNode& retention_days,
                    Retention& retention) {
  if (!node.present()) return;
  const uint32_t outside = retention.days;
  const net::YamlNode days = node.get("days");
  read_days(days, retention.days);
  if (days.present() && retention_days.present() && retention.days != outside)
    days.fail("retention_days, which means the same, says " + std::to_string(outside));
  read_days(node.get("traces"), retention.trace_days);
  read_days(node.get("logs"), retention.log_days);
  read_days(node.get("metrics"), retention.metric_days);
  const net::YamlNode services = node.get("services");
  for (const auto& [name, bounds] : services.entries()) {
    Retention::Service& service = retention.services[name];
    read_days(bounds.get("traces"), service.traces);
    read_days(bounds.get("logs"), service.logs);
    bounds.finish();
  }
  if (retention.services.size() > Retention::kMaxServices)
    services.fail("more than 1000 services with a retention of their own");
  node.finish();
}

bool is_header_name(const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

void read_audit(const net::YamlNode& node, AuditSettings& audit) {
  if (!node.present()) return;
  const net::YamlNode services = node.require("services");
  if (services.is_list()) {
    for (const net::YamlNode& item : services.items()) {
      std::string name;
      if (!item.read(name)) continue;
      if (name.empty() || name.size() > AuditRecord::kMaxServiceBytes)
        item.fail("a service's name has 1 to 256 bytes");
      else if (name == "*")
        item.fail("write services: \"*\" for every service");
      else
        audit.services.insert(std::move(name));
    }
    if (audit.services.size() > AuditSettings::kMaxServices)
      services.fail("more than 1000 services; \"*\" marks every one");
  } else if (std::string word; services.read(word)) {
    audit.every_service = word == "*";
    if (!audit.every_service) services.fail("a list of services, or \"*\" for every one");
  }
  const net::YamlNode header = node.get("identity_header");
  if (header.read(audit.identity_header) && !is_header_name(audit.identity_header))
    header.fail("'" + audit.identity_header + "' is not the name of a header");
  int64_t days = audit.keep_days;
  node.get("keep_days").read_integer(days, 1, kMaxAuditDays);
  audit.keep_days = static_cast<uint32_t>(days);
  node.finish();
}

}  // namespace

void read_config(const net::YamlNode& root, CollectorOptions& options) {
  root.get("data").read(options.data);
  read_checked(root.get("listen"), options.listen,
               [](const std::string& text) { return check_address(text, false); });
  read_checked(root.get("otlp_listen"), options.otlp_listen,
               [](const std::string& text) { return check_address(text, true); });
  read_tls_block(root.get("tls"), options.tls);
  read_tls_block(root.get("otlp_tls"), options.otlp_tls);
  root.get("rules").read(options.rules);
  root.get("log_format").read_choice(options.log_format, {"json", "text"});
  root.get("log_level").read_choice(options.log_level, {"debug", "info", "warn", "error"});
  read_checked(root.get("external_url"), options.external_url, check_external_url);
  root.get("backup_dir").read(options.backup_directory);
  root.get("memory").read_size(options.memory_bytes, kMinMemory, kMaxMemory);
  read_days(root.get("retention_days"), options.retention.days);
  read_retention(root.get("retention"), root.get("retention_days"), options.retention);
  const net::YamlNode series = root.get("series");
  net::Millis seal_interval{options.seal_seconds * int64_t{1000}};
  series.get("seal_interval").read_duration(seal_interval, kMinSeal, kMaxSeal);
  options.seal_seconds = static_cast<uint32_t>(seal_interval.count() / 1000);
  if (series.present()) series.finish();
  root.get("min_free_disk").read_size(options.min_free_bytes, 0, kMaxDisk);
  root.get("lake").read(options.lake);
  root.get("lake_endpoint").read(options.lake_endpoint);
  root.get("lake_region").read(options.lake_region);
  root.get("lake_credentials").read(options.lake_credentials);
  root.get("lake_ca").read(options.lake_ca);
  root.get("lake_cache").read_size(options.lake_cache_bytes, kMinCache, kMaxDisk);
  std::string at;
  const net::YamlNode lake_at = root.get("lake_at");
  if (lake_at.read(at) && !parse_minute(at, options.lake_minute))
    lake_at.fail("'" + at + "' is not a time of day such as \"02:30\"");
  read_audit(root.get("audit"), options.audit);
  if (const net::YamlNode list = root.get("notifiers"); list.present())
    options.notifiers = read_notifiers(list);
  root.finish();
}

std::vector<std::string> config_keys() {
  return {"data",
          "listen",
          "otlp_listen",
          "tls",
          "otlp_tls",
          "rules",
          "log_format",
          "log_level",
          "external_url",
          "backup_dir",
          "memory",
          "retention_days",
          "retention.days",
          "retention.traces",
          "retention.logs",
          "retention.metrics",
          "retention.services",
          "series.seal_interval",
          "min_free_disk",
          "lake",
          "lake_at",
          "lake_endpoint",
          "lake_region",
          "lake_credentials",
          "lake_ca",
          "lake_cache",
          "audit.services",
          "audit.identity_header",
          "audit.keep_days",
          "notifiers",
          "notifiers[].name",
          "notifiers[].type",
          "notifiers[].url",
          "notifiers[].routing_key",
          "notifiers[].channel",
          "notifiers[].username",
          "notifiers[].soc",
          "notifiers[].send_resolved",
          "notifiers[].repeat",
          "notifiers[].headers"};
}

}  // namespace hms::collector
