// options.h: what hms-collector is told: flags over the environment (HMS_<FLAG>) over the
// configuration file over these defaults.
//
// docs/config-collector.md has every key of the file; a unit test compares the two. Thread:
// start-up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collector/alerts/notifier.h"
#include "collector/audit/settings.h"
#include "collector/lake/settings.h"
#include "collector/store/retention.h"
#include "net/core/result.h"
#include "net/core/yaml_reader.h"
#include "net/io/tls_context.h"

namespace hms::collector {

struct CollectorOptions {
  std::string data;
  std::string listen = "127.0.0.1:9090";
  std::string otlp_listen = "127.0.0.1:4318";  // "off": none
  std::string rules;                           // a file or directory; empty: the built-in rules
  std::string config;
  std::string log_format = "json";
  std::string log_level = "info";
  std::string
      external_url;  // how people reach this collector, for links in alerts; empty: http://<listen>
  std::string backup_directory;                   // empty: POST /ops/backup is off
  uint64_t memory_bytes = 1024ULL * 1024 * 1024;  // shared out by memory_budget.h
  Retention retention;
  uint32_t seal_seconds = 1800;                     // series.seal_interval
  uint64_t min_free_bytes = 1024ULL * 1024 * 1024;  // below: the oldest days go first
  std::string lake;                                 // a folder, or s3://bucket/prefix; empty: none
  uint32_t lake_minute = 150;                       // of the day, UTC
  std::string lake_endpoint, lake_region = "us-east-1", lake_credentials, lake_ca;  // of a bucket
  uint64_t lake_cache_bytes = 1024ULL * 1024 * 1024;
  AuditSettings audit;
  std::vector<NotifierConfig> notifiers;
  std::optional<net::TlsSettings> tls;       // of listen; none: plain
  std::optional<net::TlsSettings> otlp_tls;  // of otlp_listen
  bool check = false;

  /// Until when a day is in the hot store: then it goes to the lake, or is dropped.
  [[nodiscard]] uint32_t hot_days() const {
    return lake.empty() ? retention.widest() : retention.days;
  }
  /// What is deleted before that.
  [[nodiscard]] Retention stored_retention() const {
    return lake.empty() ? retention : retention.with_lake();
  }
};

/// What the command line asks for.
struct CommandLine {
  enum class Action : uint8_t { run, exit };
  Action action = Action::run;
  int exit_code = 0;   // with Action::exit
  std::string output;  // for stdout: help, version
  std::string errors;  // for stderr: one fault a line
  CollectorOptions options;
};

/// `environment(name)` gives a variable or nullptr. Reads the configuration file that they name.
/// All faults are told at once (exit code 2).
[[nodiscard]] CommandLine read_command_line(
    int argc, const char* const* argv, const std::function<const char*(const char*)>& environment);

/// Of a command (`hms-collector lake list --help`): its usage is wanted.
[[nodiscard]] bool asks_for_help(int argc, const char* const* argv);

/// Reads the configuration file's keys into `options`.
void read_config(const net::YamlNode& root, CollectorOptions& options);

/// Where the lake is, by these options.
[[nodiscard]] LakeSettings lake_settings(const CollectorOptions& options);

/// Keys of the file, as docs/config-collector.md lists them ("notifiers[].url").
[[nodiscard]] std::vector<std::string> config_keys();

inline constexpr const char* kVersion = "0.1.0";

}  // namespace hms::collector
