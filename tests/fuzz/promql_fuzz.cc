// promql_fuzz.cc: any text is parsed; what parses is written out, read back the same, and evaluated
// on a few series, at one moment and over a range.
#include <cstdlib>
#include <string_view>

#include "collector/query/promql/ast.h"
#include "tests/unit/collector/query/memory_source.h"

using namespace hms::collector;
using namespace hms::collector::promql;

namespace {

const MemorySource& source() {
  static const MemorySource made = [] {
    MemorySource out;
    out.load(15'000, "a{x=\"1\",y=\"p\"} 0+3x40");
    out.load(15'000, "a{x=\"2\",y=\"q\"} 5 4 3 stale _ 1 0+0.5x30");
    out.load(15'000, "b{x=\"1\"} 100x40");
    out.load(15'000, "h_bucket{le=\"0.5\"} 0+2x40");
    out.load(15'000, "h_bucket{le=\"+Inf\"} 0+5x40");
    Series histogram;
    histogram.labels = MemorySource::labels_of("h{x=\"1\"}");
    hms::telemetry::Histogram total;
    for (int i = 0; i < 40; ++i) {
      total.record(0.01 * i);
      histogram.histograms.push_back(
          {i * 15'000, std::make_shared<hms::telemetry::Histogram>(total)});
    }
    out.add(std::move(histogram));
    return out;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse(text);
  if (!parsed) return 0;
  const std::string written = to_text(**parsed);
  const auto again = parse(written);
  // Written out it may be longer than the limit, or deeper by its parentheses; otherwise it must
  // mean the same.
  if (again && to_text(**again) != written) std::abort();
  QueryOptions options;
  options.max_samples = 20'000;
  options.timeout = hms::net::Millis(500);
  const PromqlEngine engine(source(), options);
  (void)engine.instant(**parsed, 300'000, options);
  (void)engine.range(**parsed, 0, 600'000, 60'000, options);
  return 0;
}
