#include "collector/backup_command.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "collector/options.h"
#include "collector/store/backup.h"
#include "net/http/client.h"
#include "net/io/loop.h"
#include "net/io/tls_context.h"

namespace hms::collector {
namespace {

constexpr int kBadUsage = 2;
constexpr std::string_view kUsage =
    "hms-collector backup  --collector URL            asks a running collector (started with "
    "--backup-dir) for a backup\n"
    "         [--ca FILE] [--certificate FILE] [--key FILE]   of a collector that speaks TLS\n"
    "hms-collector verify  --from DIR                 reads every byte of every backup in DIR\n"
    "hms-collector restore --from DIR --data DIR      the newest backup into an empty directory\n";

constexpr std::string_view kFlags[] = {"--collector", "--from",        "--data",
                                       "--ca",        "--certificate", "--key"};

using Flags = std::map<std::string, std::string, std::less<>>;

int say_usage(const std::string& fault) {
  std::fprintf(stderr, "hms-collector: %s\n%.*s", fault.c_str(), static_cast<int>(kUsage.size()),
               kUsage.data());
  return kBadUsage;
}

int fail(const net::Error& error) {
  std::fprintf(stderr, "hms-collector: %s\n", error.detail.c_str());
  return error.code == net::Code::bad_config ? kBadUsage : 1;
}

void print(const BackupReport& report) {
  std::printf("backup %u: %llu files, %llu bytes\n", report.id,
              static_cast<unsigned long long>(report.files),
              static_cast<unsigned long long>(report.bytes));
}

int verify(const std::string& from) {
  const auto reports = verify_backups(from);
  if (!reports.ok()) return fail(reports.error());
  for (const BackupReport& report : *reports) print(report);
  std::puts("every byte is as it was written");
  return 0;
}

int restore(const std::string& from, const std::string& data) {
  const auto restored = restore_backup(from, data);
  if (!restored.ok()) return fail(restored.error());
  print(*restored);
  return 0;
}

/// Null without a flag for it: the system's authorities are believed.
net::Result<std::shared_ptr<net::TlsSource>> tls_of(const Flags& flags) {
  net::TlsSettings settings;
  settings.role = net::TlsRole::client;
  settings.verify = net::TlsVerify::required;
  settings.alpn = {"http/1.1"};
  bool given = false;
  for (const auto& [name, file] : {std::pair{"--ca", &settings.ca_file},
                                   std::pair{"--certificate", &settings.certificate_file},
                                   std::pair{"--key", &settings.key_file}}) {
    const auto found = flags.find(name);
    if (found == flags.end()) continue;
    *file = found->second;
    given = true;
  }
  if (!given) return std::shared_ptr<net::TlsSource>();
  return net::TlsSource::open(std::move(settings));
}

int back_up(const std::string& collector, const Flags& flags) {
  auto tls = tls_of(flags);
  if (!tls.ok()) return fail(tls.error());
  net::Loop loop;
  const auto client = net::HttpClient::create(loop, std::move(tls).value());
  net::ClientRequest request;
  request.method = "POST";
  request.url = collector + "/ops/backup";
  request.timeout = net::Millis{0};  // as long as it takes
  int exit_code = 1;
  const auto call = client->send(std::move(request), [&](net::Result<net::ClientReply> reply) {
    loop.stop();
    if (!reply.ok()) {
      exit_code = fail(reply.error());
    } else {
      std::fprintf(reply->status == 200 ? stdout : stderr, "%s\n", reply->body.c_str());
      exit_code = reply->status == 200 ? 0 : 1;
    }
  });
  loop.run();
  return exit_code;
}

}  // namespace

std::optional<int> run_backup_command(int argc, const char* const* argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command != "backup" && command != "restore" && command != "verify") return std::nullopt;
  if (asks_for_help(argc, argv)) {
    std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
    return 0;
  }
  Flags flags;
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 >= argc || std::find(std::begin(kFlags), std::end(kFlags), name) == std::end(kFlags))
      return say_usage("wrong or incomplete flag '" + std::string(name) + "'");
    flags[std::string(name)] = argv[i + 1];
  }
  const auto needs = [&flags](std::string_view name) { return flags.find(name) == flags.end(); };
  if (command == "backup")
    return needs("--collector") ? say_usage("backup needs --collector URL")
                                : back_up(flags["--collector"], flags);
  if (needs("--from")) return say_usage(std::string(command) + " needs --from DIR");
  if (command == "verify") return verify(flags["--from"]);
  return needs("--data") ? say_usage("restore needs --data DIR")
                         : restore(flags["--from"], flags["--data"]);
}

}  // namespace hms::collector
