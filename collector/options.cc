#include "collector/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <map>
#include <utility>

#include "collector/option_bounds.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

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

/// What flags and the environment gave, which wins over the file.
void check_given(const GivenTexts& given, const NameOf& name, Faults& faults) {
  const auto told = [&](const char* flag, const std::string& text, const auto& check) {
    if (text.empty()) return;
    if (const auto valid = check(text); !valid.ok())
      faults.add(name(flag) + ": " + valid.error().detail);
  };
  told("--listen", given.listen, [](const auto& text) { return check_address(text, false); });
  told("--otlp-listen", given.otlp_listen,
       [](const auto& text) { return check_address(text, true); });
  told("--log-format", given.log_format, net::parse_log_format);
  told("--log-level", given.log_level, net::parse_log_level);
  told("--external-url", given.external_url, check_external_url);
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
  const NameOf name = [&names](const char* flag) { return names[flag]; };
  apply(given, name, out.options, faults);
  check_given(given, name, faults);
  if (out.options.data.empty() && !out.options.check)
    faults.add("--data: missing; give the directory where telemetry is to be stored");
  if (!faults.empty()) {
    CommandLine refused = stop(2, "", faults.text());
    refused.options = std::move(out.options);  // --check goes on to the rules
    return refused;
  }
  return out;
}

}  // namespace hms::collector
