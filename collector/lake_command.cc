#include "collector/lake_command.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "collector/lake/export.h"
#include "collector/lake/lake.h"
#include "collector/lake/remote_roll.h"
#include "collector/lake/roller.h"
#include "collector/lake/verify.h"
#include "collector/lake_audit.h"
#include "collector/options.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edges.h"
#include "collector/store/span_store.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr int kUsage = 2;

struct LakeArguments {
  std::string verb;
  std::optional<uint32_t> day;
  std::optional<LakeTable> table;
  std::string format = "ndjson";
  CollectorOptions options;
};

constexpr const char* kUsageText =
    "usage: hms-collector lake list|verify|export|roll --lake DEST [--day YYYY-MM-DD]\n"
    "         [--table spans|logs|metrics|histograms|edges|edge-hours] [--format ndjson|csv]\n"
    "         [--data DIR] [--config FILE]\n";

int usage(const std::string& fault) {
  std::fprintf(stderr, "hms-collector lake: %s\n%s", fault.c_str(), kUsageText);
  return kUsage;
}

int failed(const Error& error) {
  std::fprintf(stderr, "hms-collector lake: %s\n", error.detail.c_str());
  return error.code == Code::bad_config || error.code == Code::bad_message ? kUsage : 1;
}

/// Sets `arguments`, or gives what is wrong.
std::string take(LakeArguments& arguments, const std::string& flag, const std::string& value) {
  if (flag == "--day") {
    arguments.day = parse_day(value);
    return arguments.day ? "" : "'" + value + "' is not a day such as 2026-11-01";
  }
  if (flag == "--table") {
    for (const LakeTable table : kLakeTables) {
      if (value == table_spec(table).name) arguments.table = table;
    }
    return arguments.table ? "" : "there is no table '" + value + "'";
  }
  arguments.format = value;
  return value == "ndjson" || value == "csv" ? "" : "format '" + value + "'; ndjson or csv";
}

/// The collector's own flags go to its own reader.
std::string read_arguments(int argc, const char* const* argv, LakeArguments& out) {
  std::vector<std::string> rest{"hms-collector"};
  if (argc > 0) out.verb = argv[0];
  bool has_data = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    if (flag == "--data") has_data = true;
    if (flag != "--day" && flag != "--table" && flag != "--format") {
      rest.push_back(argument);
      continue;
    }
    std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (equals == std::string::npos) {
      if (++i == argc) return flag + " needs a value";
      value = argv[i];
    }
    if (std::string fault = take(out, flag, value); !fault.empty()) return fault;
  }
  if (!has_data && out.verb != "roll") rest.insert(rest.end(), {"--data", "."});  // not used
  std::vector<const char*> pointers;
  for (const std::string& text : rest) pointers.push_back(text.c_str());
  CommandLine line = read_command_line(static_cast<int>(pointers.size()), pointers.data(),
                                       [](const char* name) { return std::getenv(name); });
  if (line.action == CommandLine::Action::exit)
    return line.errors.empty() ? "see --help" : line.errors;
  out.options = std::move(line.options);
  return out.options.lake.empty() ? "--lake is missing: where the lake is" : "";
}

std::string scratch_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "hms-lake-XXXXXX").string();
  return ::mkdtemp(pattern.data()) == nullptr ? std::string(".") : pattern;
}

Result<std::vector<LakeManifest>> manifests(const LakeDestination& destination,
                                            const std::optional<uint32_t>& day) {
  std::vector<std::string> names;
  if (day) {
    names.push_back(manifest_name(*day));
  } else {
    auto listed = destination.list("day=");
    if (!listed.ok()) return std::move(listed).error();
    for (std::string& name : listed.value()) {
      if (name.size() > 14 && name.compare(name.size() - 14, 14, "/manifest.json") == 0)
        names.push_back(std::move(name));
    }
  }
  std::vector<LakeManifest> out;
  for (const std::string& name : names) {
    auto text = read_object(destination, name, kMaxManifestBytes);
    if (!text.ok()) return std::move(text).error();
    auto manifest = decode_manifest(text.value());
    if (!manifest.ok()) {
      Error error = std::move(manifest).error();
      error.detail = name + ": " + error.detail;
      return error;
    }
    out.push_back(std::move(manifest).value());
  }
  return out;
}

void print_day(const LakeManifest& manifest, const char* word) {
  std::printf("%s%s", day_text(manifest.day).c_str(), word);
  for (const LakeTable table : kLakeTables) {
    std::printf("  %s %llu", std::string(table_spec(table).name).c_str(),
                static_cast<unsigned long long>(manifest.table(table).totals.rows));
  }
  std::printf("  bytes %llu\n", static_cast<unsigned long long>(manifest.bytes()));
}

int list(const LakeDestination& destination, const LakeArguments& arguments) {
  auto all = manifests(destination, arguments.day);
  if (!all.ok()) return failed(all.error());
  for (const LakeManifest& manifest : all.value()) print_day(manifest, "");
  return 0;
}

int verify(const LakeDestination& destination, const LakeArguments& arguments) {
  auto all = manifests(destination, arguments.day);
  if (!all.ok()) return failed(all.error());
  VerifyOptions options;
  options.scratch_folder = scratch_folder();
  int faults = 0;
  for (const LakeManifest& manifest : all.value()) {
    if (auto good = verify_day(destination, manifest, options); good.ok()) {
      print_day(manifest, " ok");
    } else {
      ++faults;
      std::printf("%s DIFFERS: %s\n", day_text(manifest.day).c_str(), good.error().detail.c_str());
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(options.scratch_folder, ignored);
  return faults == 0 ? 0 : 1;
}

int export_rows(const LakeDestination& destination, const LakeArguments& arguments) {
  if (!arguments.day || !arguments.table) return usage("export needs --day and --table");
  auto all = manifests(destination, arguments.day);
  if (!all.ok()) return failed(all.error());
  if (auto recorded = audit_lake_export(destination, arguments.options.audit, all.value().front(),
                                        *arguments.table, arguments.format);
      !recorded.ok()) {
    std::fprintf(stderr, "hms-collector lake: the export could not be recorded for the audit\n");
    return failed(recorded.error());
  }
  auto written =
      export_table(destination, all.value().front(), *arguments.table,
                   arguments.format == "csv" ? ExportFormat::csv : ExportFormat::ndjson,
                   [](std::string_view bytes) {
                     return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
                   });
  if (!written.ok()) return failed(written.error());
  return std::fflush(stdout) == 0 ? 0 : 1;
}

/// Of the collector that runs by the same configuration.
std::string collector_url(const CollectorOptions& options) {
  if (!options.tls) return "http://" + options.listen;
  // Its certificate may not be for the address.
  return options.external_url.empty() ? "https://" + options.listen : options.external_url;
}

/// Where callers need a certificate, the collector's own is shown: the two are one machine.
HttpTrust collector_trust(const CollectorOptions& options) {
  HttpTrust trust;
  if (!options.tls) return trust;
  trust.ca_file = options.tls->ca_file;
  if (options.tls->verify == net::TlsVerify::none) return trust;
  trust.certificate_file = options.tls->certificate_file;
  trust.key_file = options.tls->key_file;
  return trust;
}

/// With the whole store opened here: nobody else has it.
int roll_here(std::unique_ptr<LakeDestination> destination, const LakeArguments& arguments) {
  const CollectorOptions& options = arguments.options;
  const auto spans = make_span_store();
  const auto logs = make_log_store();
  const auto edges = make_service_edge_store();
  SeriesStoreOptions series_options;
  series_options.retention_days = options.hot_days();
  const auto series = make_series_store(series_options);
  EngineOptions engine_options;
  engine_options.kv.directory = options.data;
  engine_options.kv.memory_bytes = options.memory_bytes;
  engine_options.retention_days = options.hot_days();
  engine_options.keep_old_days = true;
  auto engine = open_engine(engine_options, {spans.get(), logs.get(), edges.get(), series.get()});
  if (!engine.ok()) {
    const bool held = engine.error().detail.find("holds the lock") != std::string::npos;
    if (held) {
      auto asked =
          roll_in_collector(collector_url(options), collector_trust(options), *arguments.day);
      if (!asked.ok()) return failed(asked.error());
      std::puts(asked.value().c_str());
      return 0;
    }
    return failed(engine.error());
  }
  Lake lake(std::move(destination));
  RollerOptions roller_options;
  roller_options.staging_folder = options.data + "/lake-staging";
  roller_options.retention_days = options.hot_days();
  roller_options.retention = options.stored_retention();
  Roller roller(*engine.value(), *series, lake, roller_options);
  roller.publish_known_days();
  auto rolled = roller.roll(*arguments.day);
  engine.value()->close();
  if (!rolled.ok()) return failed(rolled.error());
  print_day(*rolled.value(), " rolled");
  return 0;
}

}  // namespace

int run_lake_command(int argc, const char* const* argv) {
  if (asks_for_help(argc, argv)) {
    std::fputs(kUsageText, stdout);
    return 0;
  }
  LakeArguments arguments;
  if (std::string fault = read_arguments(argc, argv, arguments); !fault.empty())
    return usage(fault);
  net::log_set_level(net::LogLevel::warn);
  auto destination = open_destination(lake_settings(arguments.options));
  if (!destination.ok()) return failed(destination.error());
  if (arguments.verb == "list") return list(*destination.value(), arguments);
  if (arguments.verb == "verify") return verify(*destination.value(), arguments);
  if (arguments.verb == "export") return export_rows(*destination.value(), arguments);
  if (arguments.verb != "roll") return usage("unknown command '" + arguments.verb + "'");
  if (!arguments.day) return usage("roll needs --day");
  return roll_here(std::move(destination).value(), arguments);
}

}  // namespace hms::collector
