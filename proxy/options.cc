#include "proxy/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "net/core/log.h"
#include "net/http/url.h"
#include "net/io/address.h"
#include "proxy/config/parse.h"
#include "proxy/version.h"

namespace hms::proxy {

namespace {

using Target = std::optional<std::string>;

constexpr const char* kOutboundInKubernetes = "127.0.0.1:15001";

/// One flag and its environment variable. CLI11 would read the variable itself, but not tell which
/// of the two it was.
void add_flag(CLI::App& app, Target& target, const char* flag, const std::string& help) {
  app.add_option_function<std::string>(
         flag, [&target](const std::string& value) { target = value; }, help)
      ->take_last();
}

void from_environment(Options& options, Target& target, const char* name) {
  if (target) return;
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return;
  target = value;
  options.from_environment.emplace_back(name);
}

/// "--spool-dir", or "HMS_SPOOL_DIR" when that is where the value came from: what a fault names.
std::string source_of(const Options& options, std::string_view flag) {
  std::string variable = "HMS_";
  for (const char c : flag.substr(2))
    variable += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  const auto& used = options.from_environment;
  return std::find(used.begin(), used.end(), variable) != used.end() ? variable : std::string(flag);
}

void set_switch(const Target& text, const std::string& flag, bool& target,
                net::YamlErrors& errors) {
  if (!text) return;
  if (*text == "on")
    target = true;
  else if (*text == "off")
    target = false;
  else
    errors.add({"", 0, 0, flag, "'" + *text + "' is neither on nor off"});
}

void set_address(const Target& text, const std::string& flag, std::string& target,
                 net::YamlErrors& errors) {
  if (!text) return;
  if (auto parsed = net::SocketAddress::parse(*text); !parsed.ok())
    errors.add({"", 0, 0, flag, parsed.error().detail});
  else
    target = *text;
}

template <class Set>
void set_number(const Target& text, const std::string& flag, int least, int most,
                net::YamlErrors& errors, Set set) {
  if (!text) return;
  const bool digits = !text->empty() && text->size() <= 4 &&
                      text->find_first_not_of("0123456789") == std::string::npos;
  const int number = digits ? std::stoi(*text) : -1;
  if (number < least || number > most)
    errors.add({"", 0, 0, flag,
                "'" + *text + "' is not a number from " + std::to_string(least) + " to " +
                    std::to_string(most)});
  else
    set(number);
}

void overlay(const Options& options, Config& config, net::YamlErrors& errors) {
  const auto source = [&](std::string_view flag) { return source_of(options, flag); };
  if (options.service) {
    const bool visible = !options.service->empty() && options.service->size() <= 255 &&
                         std::all_of(options.service->begin(), options.service->end(),
                                     [](char c) { return c > 0x20 && c < 0x7f; });
    if (visible)
      config.service = *options.service;
    else
      errors.add(
          {"", 0, 0, source("--service"), "a service's name has 1 to 255 visible characters"});
  }
  set_address(options.listen, source("--listen"), config.inbound_address, errors);
  if (options.outbound && *options.outbound == "off")
    config.outbound_address.clear();
  else
    set_address(options.outbound, source("--outbound"), config.outbound_address, errors);
  set_address(options.admin, source("--admin"), config.admin_address, errors);
  if (options.protocol) {
    bool known = false;
    for (const Protocol one : {Protocol::detect, Protocol::http, Protocol::tcp}) {
      if (*options.protocol != protocol_name(one)) continue;
      config.inbound_protocol = one;
      known = true;
    }
    if (!known)
      errors.add({"", 0, 0, source("--protocol"),
                  "'" + *options.protocol + "' is not allowed; allowed: detect, http, tcp"});
  }
  if (options.app) {
    if (auto parsed = net::parse_host_port(*options.app); !parsed.ok())
      errors.add({"", 0, 0, source("--app"), parsed.error().detail});
    else
      config.app = *options.app;
  }
  if (options.collector) {
    if (auto parsed = net::parse_url(*options.collector); !parsed.ok())
      errors.add({"", 0, 0, source("--collector"), parsed.error().detail});
    else
      config.collector_url = *options.collector;
  }
  if (options.spool_dir) config.spool_dir = *options.spool_dir;
  set_number(options.threads, source("--threads"), 1, 256, errors,
             [&config](int number) { config.threads = static_cast<uint32_t>(number); });
  set_number(options.spin_us, source("--spin-us"), 0, static_cast<int>(kMostSpinMicros), errors,
             [&config](int number) { config.spin = std::chrono::microseconds(number); });
  if (options.log_level) {
    if (auto level = net::parse_log_level(*options.log_level); !level.ok())
      errors.add({"", 0, 0, source("--log-level"), level.error().detail});
    else
      config.log_level = *options.log_level;
  }
  set_switch(options.access_log, source("--access-log"), config.access_log, errors);
  set_switch(options.telemetry, source("--telemetry"), config.telemetry, errors);
}

}  // namespace

Options parse_options(int argument_count, char** arguments) {
  Options options;
  CLI::App app{
      "hms-proxy: the sidecar of HMS-OPS. Stands beside a service, gives each request a trace, "
      "measures every route, steers the traffic."};
  app.name("hms-proxy");
  bool version = false;
  std::optional<std::string> log_format;
  add_flag(app, options.config_path, "--config",
           "YAML file, or a directory whose *.yaml are merged (HMS_CONFIG)");
  app.add_flag("--check", options.check, "read the configuration, print every error, exit 0 or 2");
  app.add_option("--probe", options.probe,
                 "GET this URL once and exit: 0 if it answered 2xx (for exec probes)");
  add_flag(app, options.service, "--service",
           "name of the service it stands beside (HMS_SERVICE; default: found by itself)");
  add_flag(app, options.listen, "--listen",
           "inbound address, default 127.0.0.1:15006 (HMS_LISTEN)");
  add_flag(app, options.protocol, "--protocol",
           "what callers speak: detect (default), http or tcp (HMS_PROTOCOL)");
  add_flag(app, options.app, "--app", "address of the service (HMS_APP)");
  add_flag(
      app, options.outbound, "--outbound",
      "address for the service's own calls, or off; default off, in Kubernetes 127.0.0.1:15001 "
      "(HMS_OUTBOUND)");
  add_flag(app, options.admin, "--admin", "admin address, default 127.0.0.1:15000 (HMS_ADMIN)");
  add_flag(app, options.collector, "--collector", "URL of the collector (HMS_COLLECTOR)");
  add_flag(app, options.spool_dir, "--spool-dir",
           "directory where the instance's identity is kept over restarts (HMS_SPOOL_DIR)");
  add_flag(app, options.threads, "--threads", "worker threads, default 1 (HMS_THREADS)");
  add_flag(app, options.spin_us, "--spin-us",
           "microseconds that a worker goes on polling before it sleeps, default 0, at most 1000 "
           "(HMS_SPIN_US)");
  add_flag(app, options.access_log, "--access-log",
           "on or off: one JSON line a request on stdout (HMS_ACCESS_LOG)");
  add_flag(app, options.telemetry, "--telemetry",
           "on or off: histograms and spans, default on (HMS_TELEMETRY)");
  add_flag(app, options.log_level, "--log-level", "debug, info, warn or error (HMS_LOG_LEVEL)");
  add_flag(app, log_format, "--log-format", "json or text (HMS_LOG_FORMAT)");
  app.add_flag("--version", version, "print the version");
  try {
    app.parse(argument_count, arguments);
  } catch (const CLI::CallForHelp&) {
    options.message = app.help();
    options.exit_code = 0;
    return options;
  } catch (const CLI::ParseError& error) {
    options.message = std::string("hms-proxy: ") + error.what() + "; see hms-proxy --help\n";
    options.exit_code = 2;
    return options;
  }
  if (version) {
    options.message = std::string("hms-proxy ") + kVersion + "\n";
    options.exit_code = 0;
    return options;
  }
  from_environment(options, options.config_path, "HMS_CONFIG");
  from_environment(options, options.service, "HMS_SERVICE");
  from_environment(options, options.listen, "HMS_LISTEN");
  from_environment(options, options.protocol, "HMS_PROTOCOL");
  from_environment(options, options.app, "HMS_APP");
  from_environment(options, options.outbound, "HMS_OUTBOUND");
  from_environment(options, options.admin, "HMS_ADMIN");
  from_environment(options, options.collector, "HMS_COLLECTOR");
  from_environment(options, options.spool_dir, "HMS_SPOOL_DIR");
  from_environment(options, options.threads, "HMS_THREADS");
  from_environment(options, options.spin_us, "HMS_SPIN_US");
  from_environment(options, options.access_log, "HMS_ACCESS_LOG");
  from_environment(options, options.telemetry, "HMS_TELEMETRY");
  from_environment(options, options.log_level, "HMS_LOG_LEVEL");
  from_environment(options, log_format, "HMS_LOG_FORMAT");
  if (log_format) options.log_format = *log_format;
  if (auto format = net::parse_log_format(options.log_format); !format.ok()) {
    options.message =
        "hms-proxy: " + source_of(options, "--log-format") + ": " + format.error().detail + "\n";
    options.exit_code = 2;
  }
  return options;
}

Config load_config(const Options& options, net::YamlErrors& errors) {
  Config config;
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) {
    // A pod is taken out of its Service some time after it was told to stop: go on serving so long.
    config.drain.grace = Millis{5'000};
    config.outbound_address = kOutboundInKubernetes;
  }
  if (options.config_path) read_config(*options.config_path, config, errors);
  overlay(options, config, errors);
  check_config(config, errors);
  // A route's policy is asked of requests: bytes that nobody understood would pass it by.
  if (config.inbound_protocol == Protocol::detect && has_inbound_route_policy(config))
    config.inbound_protocol = Protocol::http;
  return config;
}

}  // namespace hms::proxy
