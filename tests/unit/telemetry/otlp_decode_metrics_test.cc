// otlp_decode.h on metrics: every kind of point, in protobuf and JSON.
#include <cmath>

#include "tests/unit/telemetry/otlp_bodies.h"

using namespace hms::telemetry;

// === protobuf: metrics ===

TEST_CASE("otlp protobuf: gauges and sums, whole and real numbers") {
  const auto decoded = metrics(
      {metric_of("g", 5, {[](pbf_writer& p) { p.add_double(4, 1.5); }}),
       metric_of("s", 7, {[](pbf_writer& p) {
                   p.add_sfixed64(6, -3);
                   p.add_fixed64(2, 10);
                   p.add_fixed64(3, 20);
                   add_text(p, 7, "k", "v");
                 }},
                 1),
       metric_of("updown", 7, {[](pbf_writer& p) { p.add_double(4, 2); }}, 2, false),
       metric_of("delta_updown", 7, {[](pbf_writer& p) { p.add_double(4, 2); }}, 1, false)});
  const MetricBatch& batch = decoded.batch;
  REQUIRE(batch.points.size() == 4);
  CHECK(batch.points[0].kind == PointKind::gauge);
  CHECK(batch.points[0].value == 1.5);
  CHECK(batch.points[0].name == "g");
  CHECK(batch.points[0].unit == "s");
  CHECK(batch.points[1].kind == PointKind::counter);
  CHECK(batch.points[1].temporality == Temporality::delta);
  CHECK(batch.points[1].value == -3);
  CHECK(batch.points[1].start_unix_nanos == 10);
  CHECK(batch.points[1].time_unix_nanos == 20);
  CHECK(text(batch, batch.points[1].attributes, "k") == "v");
  CHECK(batch.points[2].kind == PointKind::gauge);  // a non-monotonic cumulative sum
  CHECK(batch.points[3].kind == PointKind::counter);
  CHECK_FALSE(batch.points[3].monotonic);
}

TEST_CASE(
    "otlp protobuf: an exponential histogram finer than scale 5 is lowered, a coarser one kept") {
  const auto histogram_at = [](int scale) {
    return [scale](pbf_writer& p) {
      p.add_fixed64(4, 7);
      p.add_double(5, 8);
      p.add_sint32(6, scale);
      p.add_fixed64(7, 1);
      p.add_double(12, 0);
      p.add_double(13, 2);
      pbf_writer buckets(p, 8);
      buckets.add_sint32(1, -2);
      const uint64_t counts[] = {1, 0, 2, 3};
      buckets.add_packed_uint64(2, std::begin(counts), std::end(counts));
    };
  };
  const auto decoded = metrics({metric_of("h", 10, {histogram_at(6), histogram_at(3)}, 1)});
  REQUIRE(decoded.batch.histograms.size() == 2);
  const Histogram& lowered = decoded.batch.histograms[0];
  CHECK(lowered.scale == 5);
  CHECK(lowered.positive == std::vector<Histogram::Bucket>{{-1, 1}, {0, 5}});
  CHECK(lowered.count == 7);
  CHECK(lowered.zero_count == 1);
  CHECK(lowered.has_min_max);
  CHECK(lowered.max == 2);
  const Histogram& kept = decoded.batch.histograms[1];
  CHECK(kept.scale == 3);
  CHECK(kept.positive == std::vector<Histogram::Bucket>{{-2, 1}, {0, 2}, {1, 3}});
  CHECK(decoded.batch.points[0].temporality == Temporality::delta);
}

TEST_CASE("otlp protobuf: explicit bounds, packed and not") {
  const auto packed = [](pbf_writer& p) {
    p.add_fixed64(4, 6);
    p.add_double(5, 3);
    const double bounds[] = {0.1, 1};
    const uint64_t counts[] = {1, 2, 3};
    p.add_packed_fixed64(6, std::begin(counts), std::end(counts));
    p.add_packed_double(7, std::begin(bounds), std::end(bounds));
  };
  const auto single = [](pbf_writer& p) {
    p.add_fixed64(4, 6);
    p.add_double(5, 3);
    for (const uint64_t count : {1U, 2U, 3U}) p.add_fixed64(6, count);
    for (const double bound : {0.1, 1.0}) p.add_double(7, bound);
  };
  const auto sum_only = [](pbf_writer& p) {
    p.add_fixed64(4, 4);
    p.add_double(5, 8);
  };
  const auto decoded = metrics({metric_of("h", 9, {packed, single, sum_only})});
  REQUIRE(decoded.batch.histograms.size() == 3);
  CHECK(decoded.batch.histograms[0] == decoded.batch.histograms[1]);
  CHECK(decoded.batch.histograms[0].fraction_below(0.1) == doctest::Approx(1.0 / 6));
  CHECK(decoded.batch.histograms[2].count == 4);
  CHECK(decoded.batch.histograms[2].quantile(0.5) == doctest::Approx(2).epsilon(0.03));
}

TEST_CASE("otlp protobuf: a summary gives a series for each quantile, its sum and its count") {
  const auto decoded = metrics({metric_of("rpc", 11, {[](pbf_writer& p) {
                                            p.add_fixed64(4, 10);
                                            p.add_double(5, 2.5);
                                            add_text(p, 7, "route", "/x");
                                            for (const double q : {0.5, 0.99}) {
                                              pbf_writer value(p, 6);
                                              value.add_double(1, q);
                                              value.add_double(2, q * 10);
                                            }
                                          }})});
  const MetricBatch& batch = decoded.batch;
  REQUIRE(batch.points.size() == 4);
  CHECK(batch.points[0].name == "rpc");
  CHECK(text(batch, batch.points[0].attributes, "quantile") == "0.5");
  CHECK(text(batch, batch.points[1].attributes, "quantile") == "0.99");
  CHECK(text(batch, batch.points[1].attributes, "route") == "/x");
  CHECK(batch.points[1].value == doctest::Approx(9.9));
  CHECK(batch.points[2].name == "rpc_seconds_sum");
  CHECK(batch.points[2].value == 2.5);
  CHECK(batch.points[3].name == "rpc_seconds_count");
  CHECK(batch.points[3].value == 10);
  CHECK(text(batch, batch.points[3].attributes, "quantile") == "(absent)");
}

TEST_CASE("otlp protobuf: points that are wrong by themselves are left out, each with its reason") {
  struct Case {
    Fill metric;
    const char* reason;
  };
  const Fill value = [](pbf_writer& p) { p.add_double(4, 1); };
  const auto exponential = [](int scale, int offset, uint64_t count) {
    return [=](pbf_writer& p) {
      p.add_fixed64(4, count);
      p.add_sint32(6, scale);
      pbf_writer buckets(p, 8);
      buckets.add_sint32(1, offset);
      buckets.add_uint64(2, 1);
    };
  };
  const Case cases[] = {
      {metric_of("", 5, {value}), "the metric has no name"},
      {metric_of("g", 5, {[](pbf_writer& p) { p.add_fixed64(3, 1); }}),
       "the data point has no value"},
      {metric_of("s", 7, {value}, 0),
       "aggregationTemporality is neither 1 (delta) nor 2 (cumulative)"},
      {metric_of("e", 10, {exponential(21, 0, 1)}), "scale is outside -11..20"},
      {metric_of("e", 10, {exponential(5, 2'000'000'000, 1)}),
       "a bucket index is outside the range of a double"},
      {metric_of("e", 10, {exponential(5, 0, 2)}), "count is not the sum of the bucket counts"},
      {metric_of("h", 9, {[](pbf_writer& p) { p.add_double(7, 1.0); }}),
       "bucket_counts is not one longer than explicit_bounds"},
      {metric_of("h", 9, {[](pbf_writer& p) {
                   for (int i = 0; i < 3; ++i) p.add_fixed64(6, 0);
                   for (const double bound : {2.0, 1.0}) p.add_double(7, bound);
                 }}),
       "explicit_bounds are not finite and rising"},
  };
  for (const Case& c : cases) {
    const auto decoded = metrics({c.metric});
    CAPTURE(c.reason);
    CHECK(decoded.rejected == 1);
    CHECK(decoded.first_rejection == std::string("data points[0]: ") + c.reason);
    CHECK(decoded.batch.points.empty());
    CHECK(decoded.batch.histograms.empty());
  }
}

TEST_CASE("otlp protobuf: the flag `no recorded value` marks a point stale") {
  const auto decoded = metrics({metric_of("g", 5, {[](pbf_writer& p) { p.add_uint32(8, 1); }})});
  REQUIRE(decoded.batch.points.size() == 1);
  CHECK(decoded.batch.points[0].stale);
}

// === attributes that came before ===

namespace {

/// What the store would see of a point's attributes, however they are kept.
std::string attributes_of(const MetricBatch& batch, const MetricPointView& point) {
  BatchStorage own;
  const bool raw = !point.raw_attributes.empty();
  const AttributeRange range =
      raw ? read_raw_attributes(own, point.raw_attributes) : point.attributes;
  const BatchStorage& storage = raw ? own : static_cast<const BatchStorage&>(batch);
  std::string out;
  for (uint32_t i = range.begin; i < range.end; ++i) {
    out += std::string(storage.attributes[i].key) + "=" +
           std::string(storage.attributes[i].value.text) + ";";
  }
  return out;
}

Fill number_with(const std::vector<std::pair<std::string, std::string>>& attributes) {
  return [attributes](pbf_writer& point) {
    for (const auto& [key, text] : attributes) add_text(point, 7, key, text);
    point.add_double(4, 1);
  };
}

MetricBatch again(const std::string& body, KnownAttributes& known) {
  auto decoded = decode_metrics(body, OtlpFormat::protobuf, &known);
  REQUIRE(decoded);
  return std::move(decoded->batch);
}

}  // namespace

TEST_CASE("otlp protobuf: attributes that came before stay as they stand, and read the same") {
  KnownAttributes known;
  const std::string body = request_of(
      {metric_of("a", 5, {number_with({{"route", "/x"}, {"code", "200"}}), number_with({})}),
       metric_of("b", 7, {number_with({{"route", "\xff"}})})});
  const MetricBatch first = again(body, known);
  const MetricBatch second = again(body, known);
  REQUIRE(second.points.size() == 3);
  CHECK(first.points[0].raw_attributes.empty());
  CHECK_FALSE(second.points[0].raw_attributes.empty());
  CHECK(second.attributes.size() < first.attributes.size());
  for (size_t i = 0; i < 3; ++i) {
    CHECK(attributes_of(second, second.points[i]) == attributes_of(first, first.points[i]));
    CHECK(second.points[i].attributes_hash == first.points[i].attributes_hash);
    CHECK(second.points[i].attributes_hash != AttributesHash{});
  }
  CHECK(attributes_of(second, second.points[0]) == "route=/x;code=200;");
  CHECK(attributes_of(second, second.points[2]) == "route=\xEF\xBF\xBD;");
  CHECK(first.points[0].attributes_hash != first.points[2].attributes_hash);
}

TEST_CASE("otlp protobuf: attributes with other fields between them are read each time") {
  KnownAttributes known;
  const std::string body = request_of({metric_of("a", 5, {[](pbf_writer& point) {
                                                   add_text(point, 7, "route", "/x");
                                                   point.add_double(4, 1);
                                                   add_text(point, 7, "code", "200");
                                                 }})});
  for (int i = 0; i < 2; ++i) {
    const MetricBatch batch = again(body, known);
    CHECK(batch.points[0].raw_attributes.empty());
    CHECK(batch.points[0].attributes_hash == AttributesHash{});
    CHECK(attributes_of(batch, batch.points[0]) == "route=/x;code=200;");
  }
}

TEST_CASE("otlp protobuf: attributes that had to be cut are read, and counted, each time") {
  KnownAttributes known;
  const std::string body =
      request_of({metric_of("a", 5, {number_with({{"route", std::string(70'000, 'x')}})})});
  for (int i = 0; i < 2; ++i) {
    const MetricBatch batch = again(body, known);
    CHECK(batch.truncated == 1);
    CHECK(batch.points[0].raw_attributes.empty());
  }
}

TEST_CASE("known attributes: two that share a place stay both, a third sends the older away") {
  KnownAttributes known;
  const AttributesHash a = {7, 1}, b = {7, 2}, c = {7, 3};
  CHECK_FALSE(known.contains(a));
  known.insert(a);
  known.insert(b);
  CHECK((known.contains(a) && known.contains(b)));
  known.insert(c);
  CHECK_FALSE(known.contains(a));
  CHECK((known.contains(b) && known.contains(c)));
}

// === JSON ===

TEST_CASE(
    "otlp json: a negative number in an unsigned field leaves that point out and says which") {
  const auto reason_of = [](const std::string& kind, const std::string& fields) {
    auto decoded = decode_metrics(
        R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m",")" + kind +
            R"(":{"aggregationTemporality":1,"dataPoints":[{)" + fields +
            R"(},{"timeUnixNano":"7","count":1,"asInt":1,"bucketCounts":[1],"positive":{"bucketCounts":[1]}}]}}]}]}]})",
        OtlpFormat::json);
    REQUIRE(decoded.ok());
    CHECK(decoded->batch.points.size() == 1);
    CHECK(decoded->rejected == 1);
    return decoded->first_rejection;
  };
  const std::string exponential = "exponentialHistogram";
  CHECK(reason_of(exponential, R"("count":-1)").find("count is negative") != std::string::npos);
  CHECK(reason_of(exponential, R"("count":"-1")").find("count is negative") != std::string::npos);
  CHECK(reason_of(exponential, R"("count":1,"zeroCount":-1)").find("zeroCount") !=
        std::string::npos);
  CHECK(reason_of(exponential, R"("count":1,"positive":{"bucketCounts":["3",-2]})")
            .find("bucketCounts") != std::string::npos);
  CHECK(reason_of("histogram", R"("count":1,"bucketCounts":[-1,2])").find("bucketCounts") !=
        std::string::npos);
  // Counts that wrap round to the count.
  constexpr const char* kWraps = R"("bucketCounts":["18446744073709551615",1])";
  CHECK(reason_of(exponential, R"("count":0,"positive":{)" + std::string(kWraps) + "}")
            .find("more than 64 bits hold") != std::string::npos);
  CHECK(reason_of("histogram", R"("count":0,"explicitBounds":[1],)" + std::string(kWraps))
            .find("more than 64 bits hold") != std::string::npos);
  CHECK(reason_of("gauge", R"("asInt":1,"timeUnixNano":-5)").find("timeUnixNano") !=
        std::string::npos);
  CHECK(reason_of("sum", R"("asInt":-1,"startTimeUnixNano":"-5")").find("startTimeUnixNano") !=
        std::string::npos);
}

TEST_CASE("otlp json: metrics of every kind") {
  auto decoded = decode_metrics(R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[
      {"name":"g","unit":"By","gauge":{"dataPoints":[{"asInt":"12","timeUnixNano":"9"},{"asDouble":"NaN"}]}},
      {"sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asDouble":1.5,"attributes":[{"key":"k","value":{"stringValue":"v"}}]}]},"name":"s"},
      {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","sum":4,"bucketCounts":["1",2],"explicitBounds":[1],"min":0.5,"max":2}]}},
      {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"count":3,"sum":4,"scale":6,"zeroCount":"1","positive":{"offset":0,"bucketCounts":["1","1"]}}]}},
      {"name":"q","unit":"s","summary":{"dataPoints":[{"count":"2","sum":1,"quantileValues":[{"quantile":0.5,"value":3}]}]}},
      {"name":"bad","sum":{"dataPoints":[{"asInt":1}]}}
      ]}]}]})",
                                OtlpFormat::json);
  REQUIRE(decoded);
  CHECK(decoded->rejected == 1);
  CHECK(decoded->first_rejection ==
        "data points[6]: aggregationTemporality is neither 1 (delta) nor 2 (cumulative)");
  const MetricBatch& batch = decoded->batch;
  REQUIRE(batch.points.size() == 8);
  CHECK(batch.points[0].value == 12);
  CHECK(batch.points[0].unit == "By");
  CHECK(std::isnan(batch.points[1].value));
  CHECK(batch.points[2].name == "s");
  CHECK(batch.points[2].temporality == Temporality::delta);
  CHECK(batch.histograms.at(batch.points[3].histogram).fraction_below(1) ==
        doctest::Approx(1.0 / 3));
  CHECK(batch.histograms.at(batch.points[4].histogram).positive ==
        std::vector<Histogram::Bucket>{{0, 2}});
  CHECK(batch.points[5].name == "q");
  CHECK(batch.points[5].unit == "s");
  // The unit stands before them, and nothing is added behind.
  CHECK(batch.points[6].name == "q_seconds_sum");
  CHECK(batch.points[7].name == "q_seconds_count");
  CHECK(batch.points[7].unit.empty());
  CHECK(batch.points[7].kind == PointKind::gauge);
  CHECK(batch.resources.at(0).service_name == "unknown_service");
}
