#include "collector/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <map>
#include <utility>

#include "collector/alerts/registry.h"
#include "collector/audit/record.h"
#include "net/core/log.h"
#include "net/http/url.h"
#include "net/io/address.h"
#include "net/io/tls_config.h"

namespace hms::collector {
namespace {

constexpr uint64_t kMinMemory = 128ULL * 1024 * 1024;
constexpr uint64_t kMaxMemory = 64ULL * 1024 * 1024 * 1024;
constexpr int64_t kMaxRetentionDays = 400;
constexpr int64_t kMaxAuditDays = 3'660;
constexpr net::Millis kMinSeal{1'000}, kMaxSeal{6 * 3'600'000};
constexpr uint64_t kMaxDisk = 100ULL * 1024 * 1024 * 1024 * 1024;
constexpr uint64_t kMinCache = 16ULL * 1024 * 1024;
constexpr std::string_view kOff = "off";

/// What flags and the environment gave, as texts: a value that is not there leaves the file's.
struct GivenTexts {
  std::string data, listen, otlp_listen, rules, config, log_format, log_level, memory,
      retention_days, retention_traces, retention_logs, retention_metrics, external_url,
      backup_directory, min_free_disk, lake, lake_at, lake_endpoint, lake_region, lake_credentials,
      lake_ca, lake_cache;
};

struct Setting {
  const char* flag;
  const char* variable;
  const char* help;
  std::string GivenTexts::*text;
};

constexpr Setting kSettings[] = {
    {"--data", "HMS_DATA",
     "directory of the stored telemetry (made if only its last part is missing)",
     &GivenTexts::data},
    {"--listen", "HMS_LISTEN", "address of the API and the dashboard (127.0.0.1:9090)",
     &GivenTexts::listen},
    {"--otlp-listen", "HMS_OTLP_LISTEN",
     "address that takes OTLP/HTTP only, or 'off' (127.0.0.1:4318)", &GivenTexts::otlp_listen},
    {"--rules", "HMS_RULES",
     "Prometheus rule file, or a directory of them (default: built-in rules)", &GivenTexts::rules},
    {"--config", "HMS_CONFIG", "configuration file (YAML)", &GivenTexts::config},
    {"--log-format", "HMS_LOG_FORMAT", "json or text (json)", &GivenTexts::log_format},
    {"--log-level", "HMS_LOG_LEVEL", "debug, info, warn or error (info)", &GivenTexts::log_level},
    {"--memory", "HMS_MEMORY", "what the whole collector may take, 128MiB or more (1GiB)",
     &GivenTexts::memory},
    {"--retention-days", "HMS_RETENTION_DAYS", "whole days kept, 1 to 400 (30)",
     &GivenTexts::retention_days},
    {"--retention-traces", "HMS_RETENTION_TRACES",
     "days that traces are kept (as --retention-days)", &GivenTexts::retention_traces},
    {"--retention-logs", "HMS_RETENTION_LOGS", "days that log lines are kept (as --retention-days)",
     &GivenTexts::retention_logs},
    {"--retention-metrics", "HMS_RETENTION_METRICS",
     "days that metrics are kept (as --retention-days)", &GivenTexts::retention_metrics},
    {"--min-free-disk", "HMS_MIN_FREE_DISK",
     "free space below which the oldest days go first, 0 for none (1GiB)",
     &GivenTexts::min_free_disk},
    {"--lake", "HMS_LAKE",
     "where days past the retention go: a folder, or s3://bucket/prefix (default: they are "
     "dropped)",
     &GivenTexts::lake},
    {"--lake-endpoint", "HMS_LAKE_ENDPOINT",
     "URL of the S3-compatible service (default: AWS's, of the region)",
     &GivenTexts::lake_endpoint},
    {"--lake-region", "HMS_LAKE_REGION", "the bucket's region (us-east-1)",
     &GivenTexts::lake_region},
    {"--lake-credentials", "HMS_LAKE_CREDENTIALS",
     "file with the bucket's keys, in AWS's form (default: AWS_ACCESS_KEY_ID and its kin)",
     &GivenTexts::lake_credentials},
    {"--lake-ca", "HMS_LAKE_CA",
     "file of the authorities that vouch for the endpoint, PEM (default: the system's)",
     &GivenTexts::lake_ca},
    {"--lake-cache", "HMS_LAKE_CACHE", "disk for what is read of a bucket, 16MiB or more (1GiB)",
     &GivenTexts::lake_cache},
    {"--lake-at", "HMS_LAKE_AT", "time of day (UTC) at which days are rolled to the lake (02:30)",
     &GivenTexts::lake_at},
    {"--external-url", "HMS_EXTERNAL_URL", "how people reach this collector, for links in alerts",
     &GivenTexts::external_url},
    {"--backup-dir", "HMS_BACKUP_DIR", "where POST /ops/backup puts backups (default: off)",
     &GivenTexts::backup_directory},
};

class Faults {
 public:
  void add(const std::string& sentence) { text_ += sentence + "\n"; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

/// A value's name in errors: the flag, or the variable that it came from.
using NameOf = std::function<std::string(const char* flag)>;

template <class Days>
void apply_days(const std::string& flag, const std::string& text, Days& target, Faults& faults) {
  if (text.empty()) return;
  int64_t days = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), days);
  if (wrong != std::errc() || end != text.data() + text.size() || days < 1 ||
      days > kMaxRetentionDays) {
    faults.add(flag + ": '" + text + "' is not a number of days from 1 to " +
               std::to_string(kMaxRetentionDays));
    return;
  }
  target = static_cast<uint32_t>(days);
}

void apply_memory(const std::string& flag, const std::string& text, CollectorOptions& options,
                  Faults& faults) {
  // The file's reader knows sizes; one more grammar for them would drift apart.
  net::YamlErrors errors;
  if (!net::parse_yaml("memory: " + text, flag, errors)
           .get("memory")
           .read_size(options.memory_bytes, kMinMemory, kMaxMemory) ||
      !errors.empty()) {
    faults.add(flag + ": '" + text + "' is not a size from 128MiB to 64GiB, such as 512MiB");
  }
}

void apply_size(const std::string& flag, const std::string& text, uint64_t least, uint64_t& target,
                Faults& faults) {
  net::YamlErrors errors;
  if (!net::parse_yaml("size: " + text, flag, errors)
           .get("size")
           .read_size(target, least, kMaxDisk) ||
      !errors.empty()) {
    faults.add(flag + ": '" + text + "' is not a size from " + std::to_string(least) +
               " to 100TiB, such as 2GiB");
  }
}

/// "02:30" as minutes of the day.
bool parse_minute(const std::string& text, uint32_t& minute) {
  unsigned hours = 0, minutes = 0;
  const char* const begin = text.data();
  const bool shaped = text.size() == 5 && text[2] == ':';
  if (!shaped || std::from_chars(begin, begin + 2, hours).ptr != begin + 2 ||
      std::from_chars(begin + 3, begin + 5, minutes).ptr != begin + 5 || hours > 23 || minutes > 59)
    return false;
  minute = hours * 60 + minutes;
  return true;
}

void apply(const GivenTexts& given, const NameOf& name, CollectorOptions& options, Faults& faults) {
  const std::pair<const std::string*, std::string*> texts[] = {
      {&given.data, &options.data},
      {&given.listen, &options.listen},
      {&given.otlp_listen, &options.otlp_listen},
      {&given.rules, &options.rules},
      {&given.config, &options.config},
      {&given.log_format, &options.log_format},
      {&given.log_level, &options.log_level},
      {&given.external_url, &options.external_url},
      {&given.lake, &options.lake},
      {&given.lake_endpoint, &options.lake_endpoint},
      {&given.lake_region, &options.lake_region},
      {&given.lake_credentials, &options.lake_credentials},
      {&given.lake_ca, &options.lake_ca},
      {&given.backup_directory, &options.backup_directory}};
  for (const auto& [from, to] : texts) {
    if (!from->empty()) *to = *from;
  }
  if (!given.memory.empty()) apply_memory(name("--memory"), given.memory, options, faults);
  apply_days(name("--retention-days"), given.retention_days, options.retention.days, faults);
  apply_days(name("--retention-traces"), given.retention_traces, options.retention.trace_days,
             faults);
  apply_days(name("--retention-logs"), given.retention_logs, options.retention.log_days, faults);
  apply_days(name("--retention-metrics"), given.retention_metrics, options.retention.metric_days,
             faults);
  if (!given.min_free_disk.empty())
    apply_size(name("--min-free-disk"), given.min_free_disk, 0, options.min_free_bytes, faults);
  if (!given.lake_cache.empty())
    apply_size(name("--lake-cache"), given.lake_cache, kMinCache, options.lake_cache_bytes, faults);
  if (!given.lake_at.empty() && !parse_minute(given.lake_at, options.lake_minute))
    faults.add(name("--lake-at") + ": '" + given.lake_at + "' is not a time of day such as 02:30");
}

void check_values(const CollectorOptions& options, Faults& faults) {
  if (auto address = net::SocketAddress::parse(options.listen); !address.ok())
    faults.add("--listen: " + address.error().detail);
  if (options.otlp_listen != kOff) {
    if (auto address = net::SocketAddress::parse(options.otlp_listen); !address.ok())
      faults.add("--otlp-listen: " + address.error().detail);
  }
  if (auto format = net::parse_log_format(options.log_format); !format.ok())
    faults.add("--log-format: " + format.error().detail);
  if (auto level = net::parse_log_level(options.log_level); !level.ok())
    faults.add("--log-level: " + level.error().detail);
  if (!options.external_url.empty()) {
    if (auto url = net::parse_url(options.external_url); !url.ok())
      faults.add("--external-url: " + url.error().detail);
  }
  for (const auto& [settings, key] :
       {std::pair(&options.tls, "tls: "), std::pair(&options.otlp_tls, "otlp_tls: ")}) {
    if (!settings->has_value()) continue;
    if (auto context = net::TlsContext::make(**settings); !context.ok())
      faults.add(key + context.error().detail);
  }
  if (options.data.empty() && !options.check)
    faults.add("--data: missing; give the directory where telemetry is to be stored");
}

void read_tls_block(const net::YamlNode& node, std::optional<net::TlsSettings>& target) {
  net::TlsSettings settings;
  if (net::read_tls(node, settings)) target = std::move(settings);
}

template <class Days>
void read_days(const net::YamlNode& node, Days& target) {
  int64_t days = 0;
  if (node.read_integer(days, 1, kMaxRetentionDays)) target = static_cast<uint32_t>(days);
}

void read_retention(const net::YamlNode& node, Retention& retention) {
  if (!node.present()) return;
  read_days(node.get("days"), retention.days);
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

CommandLine stop(int code, std::string output, std::string errors) {
  CommandLine out;
  out.action = CommandLine::Action::exit;
  out.exit_code = code;
  out.output = std::move(output);
  out.errors = std::move(errors);
  return out;
}

}  // namespace

void read_config(const net::YamlNode& root, CollectorOptions& options) {
  root.get("data").read(options.data);
  root.get("listen").read(options.listen);
  root.get("otlp_listen").read(options.otlp_listen);
  read_tls_block(root.get("tls"), options.tls);
  read_tls_block(root.get("otlp_tls"), options.otlp_tls);
  root.get("rules").read(options.rules);
  root.get("log_format").read_choice(options.log_format, {"json", "text"});
  root.get("log_level").read_choice(options.log_level, {"debug", "info", "warn", "error"});
  root.get("external_url").read(options.external_url);
  root.get("backup_dir").read(options.backup_directory);
  root.get("memory").read_size(options.memory_bytes, kMinMemory, kMaxMemory);
  read_days(root.get("retention_days"), options.retention.days);
  read_retention(root.get("retention"), options.retention);
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

bool asks_for_help(int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc, [](const char* argument) {
    const std::string_view text(argument);
    return text == "--help" || text == "-h";
  });
}

LakeSettings lake_settings(const CollectorOptions& options) {
  LakeSettings out;
  out.to = options.lake;
  out.endpoint = options.lake_endpoint;
  out.region = options.lake_region;
  out.credentials = options.lake_credentials;
  out.ca = options.lake_ca;
  return out;
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

CommandLine read_command_line(int argc, const char* const* argv,
                              const std::function<const char*(const char*)>& environment) {
  CLI::App app(
      "hms-collector: takes telemetry, keeps it, answers questions, raises alerts.\nEach flag may "
      "also be given as HMS_<FLAG>.",
      "hms-collector");
  app.footer(
      "Commands (each with its own --help):\n"
      "  backup, verify, restore   backups of a data directory\n"
      "  lake                      lists, verifies, exports or rolls days of a lake\n"
      "  audit                     exports who asked for marked telemetry");
  app.set_version_flag("--version", std::string("hms-collector ") + kVersion);
  GivenTexts flags;
  CommandLine out;
  app.add_flag("--check", out.options.check,
               "check the configuration and the rules, print every fault, exit 0 or 2");
  for (const auto& setting : kSettings)
    app.add_option(setting.flag, flags.*setting.text, setting.help);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return stop(0, app.help(), "");
  } catch (const CLI::CallForVersion&) {
    return stop(0, std::string("hms-collector ") + kVersion + "\n", "");
  } catch (const CLI::ParseError& error) {
    return stop(2, "", std::string("hms-collector: ") + error.what() + "; see --help\n");
  }
  // A flag wins over the environment, so that a wrong value there harms nobody who gives the flag.
  GivenTexts given = flags;
  std::map<std::string, std::string> names;
  for (const auto& setting : kSettings) {
    names[setting.flag] = setting.flag;
    const char* const value = environment(setting.variable);
    if (value == nullptr || !(given.*setting.text).empty()) continue;
    given.*setting.text = value;
    names[setting.flag] = setting.variable;
  }
  Faults faults;
  const std::string& config = given.config;
  if (!config.empty()) {
    net::YamlErrors errors;
    const net::YamlNode root = net::load_yaml(config, errors);
    if (root.present()) read_config(root, out.options);
    if (!errors.empty()) faults.add(errors.text());
  }
  apply(
      given, [&names](const char* flag) { return names[flag]; }, out.options, faults);
  check_values(out.options, faults);
  if (!faults.empty()) {
    CommandLine refused = stop(2, "", faults.text());
    refused.options = std::move(out.options);  // --check goes on to the rules
    return refused;
  }
  return out;
}

}  // namespace hms::collector
