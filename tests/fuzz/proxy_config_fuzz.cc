// Any text as a configuration file: read, checked, and when it is good made into a snapshot. No
// crash, bounded time, and a fault for every refusal.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/core/check.h"
#include "proxy/config/parse.h"
#include "proxy/config/snapshot.h"
#include "proxy/config_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using namespace hms::proxy;
  std::vector<CanaryWeight> canaries = {{"c", "s", "v1", "v2", 30}};
  if (auto weights = parse_canary_weights(std::string(text)); weights.ok())
    canaries = weights->weights;
  Config config;
  hms::net::YamlErrors errors;
  read_config_text(text, "fuzz.yaml", config, errors);
  check_config(config, errors);
  if (!errors.empty()) {
    HMS_ENSURE(!errors.text().empty());
    return 0;
  }
  const auto snapshot = make_snapshot(config, {}, canaries, 1, 1);
  for (const RoutePlan& route : snapshot->routes) {
    (void)path_matches(route.path, text.substr(0, 200));
    if (!route.split.empty())
      HMS_ENSURE(route.split.back().end > 0.999 && route.split.back().end < 1.001);
  }
  return 0;
}
