// main.cc: hms-proxy. Reads flags, environment and file, then hands over to the Sidecar. Exit
// codes: 0 asked to stop, 2 bad usage or configuration, 1 anything else.
#include <malloc.h>

#include <cstdio>

#include "net/core/log.h"
#include "net/io/loop.h"
#include "net/io/signals.h"
#include "proxy/probe.h"
#include "proxy/service_name.h"
#include "proxy/sidecar.h"
#include "proxy/tls_sources.h"

namespace {

uint16_t port_of(const std::string& app) {
  const auto target = hms::net::parse_host_port(app);
  return target.ok() ? target->port : uint16_t{0};
}

int run(const hms::proxy::Options& options) {
  using namespace hms;
  if (auto format = net::parse_log_format(options.log_format); format.ok())
    net::log_set_format(*format);
  net::YamlErrors errors;
  proxy::Config config = proxy::load_config(options, errors);
  if (options.check) proxy::check_tls(config, errors);
  if (!errors.empty()) {
    std::fprintf(stderr, "%s\n", errors.text().c_str());
    return 2;
  }
  const bool idle = config.app.empty() && config.outbound_address.empty() && config.routes.empty();
  if (options.check) {
    std::printf("configuration is good: %zu upstreams, %zu routes%s\n", config.upstreams.size(),
                config.routes.size(),
                idle ? "; to run it needs --app, --outbound or a route besides" : "");
    return 0;
  }
  if (idle) {
    std::fprintf(stderr,
                 "hms-proxy: nothing to do: give --app (the service beside it), --outbound, or a "
                 "--config with routes; see hms-proxy --help\n");
    return 2;
  }
  if (config.service.empty()) config.service = proxy::find_service_name(port_of(config.app));
  net::Loop loop;
  auto sidecar = proxy::Sidecar::start(loop, options, std::move(config));
  if (!sidecar.ok()) {
    net::log_error("cannot start", {{"error", sidecar.error().detail}});
    return 1;
  }
  return (*sidecar)->run();
}

/// A second's batch of spans is some MiB that are needed for milliseconds. Left to itself malloc
/// raises its threshold after the first one and keeps them in the heap for good.
void give_memory_back() {
  constexpr int kMappedFrom = 256 * 1024;
  constexpr int kKeptAtMost = 512 * 1024;
  // No other thread runs yet.
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);  // NOLINT(concurrency-mt-unsafe)
  mallopt(M_TRIM_THRESHOLD, kKeptAtMost);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

int main(int argument_count, char** arguments) {
  give_memory_back();
  hms::net::ignore_sigpipe();
  const hms::proxy::Options options = hms::proxy::parse_options(argument_count, arguments);
  if (options.exit_code) {
    std::fputs(options.message.c_str(), *options.exit_code == 0 ? stdout : stderr);
    return *options.exit_code;
  }
  if (!options.probe.empty()) return hms::proxy::probe(options.probe);
  return run(options);
}
