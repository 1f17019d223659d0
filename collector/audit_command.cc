#include "collector/audit_command.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "collector/api/query_parameters.h"
#include "collector/audit/audit_log.h"
#include "collector/lake/http_transfer.h"
#include "collector/lake/settings.h"
#include "collector/lake_audit.h"
#include "collector/options.h"
#include "net/core/clock.h"
#include "net/http/url.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
using nlohmann::json;

constexpr int kBadUsage = 2;
constexpr uint32_t kPage = 5'000;
constexpr std::string_view kUsage =
    "usage: hms-collector audit export --collector URL | --data DIR | --lake DEST\n"
    "         [--start TIME] [--end TIME] [--service NAME] [--who WHO]\n"
    "         [--ca FILE] [--certificate FILE] [--key FILE]   of a collector that speaks TLS\n"
    "         [--lake-endpoint URL] [--lake-region NAME] [--lake-credentials FILE] "
    "[--lake-ca FILE]\n";

using Flags = std::map<std::string, std::string, std::less<>>;

int say_usage(const std::string& fault) {
  std::fprintf(stderr, "hms-collector audit: %s\n%.*s", fault.c_str(),
               static_cast<int>(kUsage.size()), kUsage.data());
  return kBadUsage;
}

std::string flag(const Flags& flags, std::string_view name) {
  const auto found = flags.find(name);
  return found == flags.end() ? std::string() : found->second;
}

Result<void> print(const std::string& line) {
  if (std::puts(line.c_str()) >= 0) return {};
  return Error{Code::io, net::Side::self, false, "the records could not be written to stdout"};
}

/// Page by page; the collector records each.
Result<void> export_from_collector(const Flags& flags, const std::string& base) {
  std::string fixed = base + "/ops/audit?limit=" + std::to_string(kPage);
  for (const char* name : {"start", "end", "service", "who"}) {
    if (const auto found = flags.find(std::string("--") + name); found != flags.end())
      fixed += std::string("&") + name + "=" + net::percent_encode(found->second);
  }
  std::string cursor;
  do {
    HttpCall call;
    call.trust = {flag(flags, "--ca"), flag(flags, "--certificate"), flag(flags, "--key")};
    call.url = cursor.empty() ? fixed : fixed + "&cursor=" + cursor;
    auto answer = http_call(call);
    if (!answer.ok()) return std::move(answer).error();
    const json body = json::parse(answer->body, nullptr, false);
    if (answer->status != 200 || !body.is_object() || !body.contains("records")) {
      return Error{Code::unavailable, net::Side::upstream, false,
                   base + " answered " + std::to_string(answer->status) + ": " +
                       (body.is_object() ? body.value("error", "") : "not an audit page")};
    }
    for (const json& record : body["records"]) {
      if (auto printed = print(record.dump()); !printed.ok()) return printed;
    }
    cursor = body["cursor"].is_string() ? body["cursor"].get<std::string>() : std::string();
  } while (!cursor.empty());
  return {};
}

Result<AuditQuery> read_query(const Flags& flags) {
  AuditQuery query;
  query.limit = kPage;
  for (const auto& [name, target] :
       {std::pair{"--start", &query.start_unix_nanos}, std::pair{"--end", &query.end_unix_nanos}}) {
    const std::string text = flag(flags, name);
    if (text.empty()) continue;
    auto time = parse_time_nanos(text);
    if (!time.ok())
      return Error{Code::bad_config, net::Side::self, false,
                   std::string(name) + ": " + time.error().detail};
    *target = time.value();
  }
  query.service = flag(flags, "--service");
  query.who = flag(flags, "--who");
  return query;
}

/// Of a collector that is stopped: this question is recorded as well.
Result<void> export_from_directory(const Flags& flags, const std::string& directory) {
  auto query = read_query(flags);
  if (!query.ok()) return std::move(query).error();
  KvOptions options;
  options.directory = directory;
  options.memory_bytes = 64ULL * 1024 * 1024;
  auto kv = open_rocks_kv(options);
  if (!kv.ok()) return std::move(kv).error();
  AuditRecord own;
  own.time_unix_nanos = net::unix_nanos();
  own.question = "audit";
  own.peer = command_user();
  own.path = "audit export";
  own.status = 200;
  for (const auto& [name, value] : flags) own.query += name + " " + value + " ";
  own.query = cut_text(own.query, AuditRecord::kMaxQueryBytes);
  const auto [key, value] = AuditLog::encode(own);
  auto recorded = kv.value()->commit(
      [&, &key = key, &value = value](KvWriter& w) { w.put(Family::meta(), key, value); });
  if (!recorded.ok()) return recorded;
  do {
    auto page = AuditLog::search(*kv.value(), query.value());
    if (!page.ok()) return std::move(page).error();
    for (const AuditRecord& record : page->records) {
      if (auto printed = print(encode_audit_record(record)); !printed.ok()) return printed;
    }
    query->cursor = page->cursor;
  } while (!query->cursor.empty());
  return {};
}

Result<void> export_from_lake(const Flags& flags, const std::string& to) {
  auto query = read_query(flags);
  if (!query.ok()) return std::move(query).error();
  LakeSettings settings;
  settings.to = to;
  settings.endpoint = flag(flags, "--lake-endpoint");
  settings.credentials = flag(flags, "--lake-credentials");
  settings.ca = flag(flags, "--lake-ca");
  if (const std::string region = flag(flags, "--lake-region"); !region.empty())
    settings.region = region;
  auto destination = open_destination(settings);
  if (!destination.ok()) return std::move(destination).error();
  auto records = read_lake_audit(*destination.value());
  if (!records.ok()) return std::move(records).error();
  for (const AuditRecord& record : records.value()) {
    if (!AuditLog::fits(record, query.value())) continue;
    if (auto printed = print(encode_audit_record(record)); !printed.ok()) return printed;
  }
  return {};
}

}  // namespace

int run_audit_command(int argc, const char* const* argv) {
  if (asks_for_help(argc, argv)) {
    std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
    return 0;
  }
  if (argc < 1 || std::string_view(argv[0]) != "export")
    return say_usage("the command is `audit export`");
  constexpr const char* kFlags[] = {
      "--collector", "--data", "--lake",          "--start",       "--end",
      "--service",   "--who",  "--lake-endpoint", "--lake-region", "--lake-credentials",
      "--lake-ca",   "--ca",   "--certificate",   "--key"};
  Flags flags;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc || std::find(std::begin(kFlags), std::end(kFlags), name) == std::end(kFlags))
      return say_usage("wrong or incomplete flag '" + name + "'");
    flags[name] = argv[i + 1];
  }
  Result<void> done = Error{Code::bad_config, net::Side::self, false,
                            "one of --collector, --data and --lake is needed"};
  if (const auto url = flags.find("--collector"); url != flags.end())
    done = export_from_collector(flags, url->second);
  else if (const auto data = flags.find("--data"); data != flags.end())
    done = export_from_directory(flags, data->second);
  else if (const auto lake = flags.find("--lake"); lake != flags.end())
    done = export_from_lake(flags, lake->second);
  if (done.ok()) return std::fflush(stdout) == 0 ? 0 : 1;
  std::fprintf(stderr, "hms-collector audit: %s\n", done.error().detail.c_str());
  return done.error().code == Code::bad_config ? kBadUsage : 1;
}

}  // namespace hms::collector
