// Any bytes as a body of /ingest: nothing crashes, and the answer adds up.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "collector/ingest/ingest_json.h"

using namespace hms::collector;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kNow = 1'795'339'370'000'000'000ULL;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  NotJson where;
  MetricBounds metrics(kNow, 30);
  const auto parsed = parse_ingest(body, TimeBounds::around(kNow, 30), metrics, &where);
  if (!parsed.ok()) {
    if (parsed.error().code == hms::net::Code::bad_message && where.byte > size) std::abort();
    return 0;
  }
  const uint64_t records =
      parsed->logs.logs.size() + parsed->metrics.points.size() + parsed->traces.spans.size();
  if (records != parsed->accepted) std::abort();
  for (const auto& log : parsed->logs.logs) {
    if (log.resource >= parsed->logs.resources.size() ||
        log.attributes.end > parsed->logs.attributes.size())
      std::abort();
  }
  for (const auto& point : parsed->metrics.points) {
    if (point.resource >= parsed->metrics.resources.size() ||
        point.attributes.end > parsed->metrics.attributes.size())
      std::abort();
  }
  for (const auto& span : parsed->traces.spans) {
    if (span.end_unix_nanos < span.start_unix_nanos || span.trace_id.is_zero()) std::abort();
  }
  return 0;
}
