// main.cc: hms-collector: command line, signals, exit codes (docs/config-collector.md).
#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "collector/app.h"
#include "collector/audit_command.h"
#include "collector/backup_command.h"
#include "collector/lake_command.h"
#include "collector/options.h"
#include "net/core/log.h"
#include "net/core/log_ready.h"
#include "net/io/signals.h"
#include "net/io/timer_wheel.h"

namespace {

using namespace hms;

constexpr int kBadConfiguration = 2;
constexpr net::Millis kLongStart{500};

int check(const collector::CollectorOptions& options) {
  const std::string faults = collector::check_files(options);
  if (!faults.empty()) {
    std::fprintf(stderr, "%s\n", faults.c_str());
    return kBadConfiguration;
  }
  std::puts("the configuration is valid");
  return 0;
}

int exit_code_of(const net::Error& error) {
  net::log_error("hms-collector cannot start", {{"error", error.detail}});
  return error.code == net::Code::bad_config ? kBadConfiguration : 1;
}

int run(const collector::CollectorOptions& options) {
  net::Loop loop;
  int exit_code = 0;
  const collector::App* listening = nullptr;
  net::Timer* starting = nullptr;
  const auto on_ready = [&](const net::Result<void>& ready) {
    if (starting != nullptr) starting->disarm();
    if (!ready.ok()) {
      exit_code = exit_code_of(ready.error());
      loop.stop();
      return;
    }
    net::log_ready({{"listen", listening->listen_address()},
                    {"otlp", listening->otlp_address()},
                    {"data", options.data}});
  };
  auto started = collector::App::start(loop, options, on_ready);
  if (!started.ok()) return exit_code_of(started.error());
  const std::unique_ptr<collector::App> app = std::move(started).value();
  listening = app.get();
  int terminations = 0;
  const auto signals =
      net::Signals::install(loop, {[&] {
                                     if (++terminations == 1) {
                                       net::log_info("stopping");
                                       app->drain();
                                     } else {
                                       // What is acknowledged is in the synced log: nothing to
                                       // save.
                                       net::log_warn("stopped at once, as asked twice");
                                       std::_Exit(0);
                                     }
                                   },
                                   [&] { app->reload(); }});
  // A start is told of only when it takes long: what fails at once is one line, the reason.
  net::Timer slow_start(loop, [&] {
    net::log_info(
        "starting",
        {{"listen", app->listen_address()}, {"otlp", app->otlp_address()}, {"data", options.data}});
  });
  slow_start.arm(kLongStart);
  starting = &slow_start;
  loop.run();
  if (exit_code == 0) net::log_info("stopped");
  return exit_code;
}

/// Bodies and what is decoded from them are some hundred KiB that are needed for milliseconds, one
/// after the other: their pages are kept for the next one instead of being given back and taken
/// anew (0.07 us of CPU time a span). memory_budget.h gives back what is too much.
void keep_memory() {
  constexpr int kMappedFrom = 4 * 1024 * 1024;
  constexpr int kKeptAtMost = 16 * 1024 * 1024;
  // No other thread runs yet.
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);  // NOLINT(concurrency-mt-unsafe)
  mallopt(M_TRIM_THRESHOLD, kKeptAtMost);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

int main(int argc, char** argv) {
  keep_memory();
  net::ignore_sigpipe();
  std::signal(
      SIGXFSZ,
      SIG_IGN);  // a limit on file sizes is a write that fails, told to senders as a full disk
  if (argc > 1 && std::string_view(argv[1]) == "lake")
    return collector::run_lake_command(argc - 2, argv + 2);
  if (argc > 1 && std::string_view(argv[1]) == "audit")
    return collector::run_audit_command(argc - 2, argv + 2);
  if (const auto code = collector::run_backup_command(argc, argv)) return *code;
  const collector::CommandLine line =
      collector::read_command_line(argc, argv, [](const char* name) { return std::getenv(name); });
  if (line.action == collector::CommandLine::Action::exit) {
    std::fputs(line.output.c_str(), stdout);
    std::fputs(line.errors.c_str(), stderr);
    const std::string faults = line.options.check ? collector::check_files(line.options) : "";
    if (!faults.empty()) std::fprintf(stderr, "%s\n", faults.c_str());
    return line.exit_code;
  }
  if (auto format = net::parse_log_format(line.options.log_format); format.ok())
    net::log_set_format(format.value());
  if (auto level = net::parse_log_level(line.options.log_level); level.ok())
    net::log_set_level(level.value());
  return line.options.check ? check(line.options) : run(line.options);
}
