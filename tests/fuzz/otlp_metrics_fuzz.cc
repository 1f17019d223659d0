// otlp_metrics_fuzz.cc: any bytes as an OTLP metrics request, in protobuf and in JSON; and
// attributes that are left as they stand are the same as those that are read.
#include "tests/fuzz/otlp_check.h"

using namespace hms::telemetry;

namespace {

bool same(const AttributeValue& a, const AttributeValue& b) {
  return a.kind == b.kind && a.boolean == b.boolean && a.integer == b.integer && a.text == b.text;
}

void check_left_as_they_stand(const std::string& body) {
  KnownAttributes known;
  const auto read = decode_metrics(body, OtlpFormat::protobuf, &known);
  const auto left = decode_metrics(body, OtlpFormat::protobuf, &known);
  const auto plain = decode_metrics(body, OtlpFormat::protobuf);
  HMS_ENSURE(read.ok() == plain.ok() && left.ok() == plain.ok());
  if (!plain) return;
  HMS_ENSURE(left->batch.points.size() == plain->batch.points.size());
  for (size_t i = 0; i < plain->batch.points.size(); ++i) {
    const MetricPointView& point = left->batch.points[i];
    const AttributeRange wanted = plain->batch.points[i].attributes;
    if (point.raw_attributes.empty()) {
      HMS_ENSURE(point.attributes.end - point.attributes.begin == wanted.end - wanted.begin);
      continue;
    }
    BatchStorage own;
    const AttributeRange range = read_raw_attributes(own, point.raw_attributes);
    HMS_ENSURE(range.end - range.begin == wanted.end - wanted.begin);
    for (uint32_t a = 0; a < range.end; ++a) {
      const Attribute& expected = plain->batch.attributes[wanted.begin + a];
      HMS_ENSURE(own.attributes[a].key == expected.key);
      HMS_ENSURE(same(own.attributes[a].value, expected.value));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hms::fuzz::run(
      [](std::string body, OtlpFormat format) { return decode_metrics(std::move(body), format); },
      data, size);
  check_left_as_they_stand({reinterpret_cast<const char*>(data), size});
  return 0;
}
