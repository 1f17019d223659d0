// What spans of one body have in common is read once, and every span still has what it was sent
// with.
#include "tests/unit/telemetry/otlp_bodies.h"

using namespace hms::telemetry;

namespace {

void route(pbf_writer& span, const std::string& value) {
  add_text(span, 9, "http.route", value);
  add_text(span, 9, "http.request.method", "GET");
}

}  // namespace

TEST_CASE("otlp protobuf: spans with the same attributes share them") {
  const Fill first = [](pbf_writer& span) { good_span(span), route(span, "/a"); };
  const Fill other = [](pbf_writer& span) { good_span(span), route(span, "/b"); };
  const auto decoded = traces({first, other, first, good_span});
  const TraceBatch& batch = decoded.batch;
  REQUIRE(batch.spans.size() == 4);
  CHECK(text(batch, batch.spans[0].attributes, "http.route") == "/a");
  CHECK(text(batch, batch.spans[1].attributes, "http.route") == "/b");
  CHECK(batch.spans[2].attributes.begin == batch.spans[0].attributes.begin);
  CHECK(batch.spans[2].attributes.end == batch.spans[0].attributes.end);
  CHECK(batch.spans[3].attributes.begin == batch.spans[3].attributes.end);
  CHECK(batch.spans[2].name.data() == batch.spans[0].name.data());
}

TEST_CASE("otlp protobuf: a span that is left out takes nothing from those that are not") {
  const Fill bad = [](pbf_writer& span) {  // no ids
    span.add_string(5, "op");
    route(span, "/a");
  };
  const Fill good = [](pbf_writer& span) { good_span(span), route(span, "/a"); };
  const Fill other = [](pbf_writer& span) { good_span(span), route(span, "/b"); };
  const auto decoded = traces({bad, other, good, bad, good});
  const TraceBatch& batch = decoded.batch;
  CHECK(decoded.rejected == 2);
  REQUIRE(batch.spans.size() == 3);
  CHECK(text(batch, batch.spans[0].attributes, "http.route") == "/b");
  CHECK(text(batch, batch.spans[1].attributes, "http.route") == "/a");
  CHECK(text(batch, batch.spans[2].attributes, "http.route") == "/a");
}

TEST_CASE("otlp protobuf: attributes that do not stand together are all the span's") {
  const Fill whole = [](pbf_writer& span) { good_span(span), route(span, "/a"); };
  const Fill apart = [](pbf_writer& span) {
    route(span, "/a");
    good_span(span);
    add_text(span, 9, "late", "yes");
    span.add_int32(6, 2);
    add_text(span, 9, "later", "too");
  };
  for (const auto& order : {std::vector<Fill>{whole, apart, whole}, {apart, whole, apart}}) {
    const auto decoded = traces(order);
    const TraceBatch& batch = decoded.batch;
    REQUIRE(batch.spans.size() == 3);
    for (const SpanView& span : batch.spans) {
      const bool is_apart = span.attributes.end - span.attributes.begin == 4;
      CHECK(text(batch, span.attributes, "http.route") == "/a");
      CHECK(text(batch, span.attributes, "later") == (is_apart ? "too" : "(absent)"));
    }
    CHECK(batch.spans[0].attributes.end - batch.spans[0].attributes.begin ==
          batch.spans[2].attributes.end - batch.spans[2].attributes.begin);
    CHECK(batch.spans[0].attributes.end - batch.spans[0].attributes.begin !=
          batch.spans[1].attributes.end - batch.spans[1].attributes.begin);
  }
}
