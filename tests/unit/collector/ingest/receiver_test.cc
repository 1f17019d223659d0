#include "collector/ingest/receiver.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "net/http/compress.h"

using namespace hms;
using namespace hms::collector;
using nlohmann::json;

namespace {

constexpr uint64_t kNow = 1'795'339'370'000'000'000ULL;

std::variant<Received, IngestReply> take(IngestRequest request) {
  return receive(std::move(request), kNow, ReceiverOptions());
}

Received accepted(IngestRequest request) {
  auto result = take(std::move(request));
  REQUIRE_MESSAGE(std::holds_alternative<Received>(result),
                  std::get_if<IngestReply>(&result)->body);
  return std::move(std::get<Received>(result));
}
IngestReply refused(IngestRequest request) {
  auto result = take(std::move(request));
  REQUIRE(std::holds_alternative<IngestReply>(result));
  return std::get<IngestReply>(result);
}

IngestRequest otlp_json(IngestPath path, const json& body) {
  IngestRequest request;
  request.path = path;
  request.content_type = "application/json; charset=utf-8";
  request.body = body.dump();
  return request;
}

json one_span(uint64_t start) {
  return {
      {"resourceSpans",
       {{{"resource",
          {{"attributes", {{{"key", "service.name"}, {"value", {{"stringValue", "claims"}}}}}}}},
         {"scopeSpans",
          {{{"spans",
             {{{"traceId", "0190a0b000007000800000000000000a"},
               {"spanId", "00f067aa0ba902b7"},
               {"name", "GET /claims"},
               {"kind", 2},
               {"startTimeUnixNano", std::to_string(start)},
               {"endTimeUnixNano", std::to_string(start + 5'000'000)}}}}}}}}}}};
}

IngestRequest ingest(std::string body) {
  IngestRequest request;
  request.content_type = "application/json";
  request.body = std::move(body);
  return request;
}

const char* const kBatch = "0190a0b0-0000-7000-8000-000000000001/1/1";
const std::string kGoodLog = R"({"type":"log","payload":{"msg":"a","service":"shop"}})";

}  // namespace

TEST_CASE("receiver: OTLP JSON is stored, and full success leaves partial_success unset") {
  const Received got = accepted(otlp_json(IngestPath::traces, one_span(kNow)));
  CHECK(got.reply.status == 200);
  CHECK(got.reply.content_type == "application/json");
  CHECK(json::parse(got.reply.body) == json::object());
  CHECK(got.unit.service == "claims");
  REQUIRE(got.unit.batch.traces);
  CHECK(got.unit.batch.traces->spans.size() == 1);
  CHECK(got.unit.batch.arrived_unix_nanos == kNow);
  CHECK(got.has_something_to_store);
}

TEST_CASE(
    "receiver: an empty OTLP request is a success with nothing to store, unless it has a number") {
  IngestRequest request;
  request.path = IngestPath::metrics;
  request.content_type = "application/x-protobuf";
  CHECK_FALSE(accepted(request).has_something_to_store);
  CHECK(accepted(request).reply.body.empty());
  request.batch_identity = kBatch;
  CHECK(accepted(request).has_something_to_store);
  CHECK(accepted(request).unit.identity->sequence == 1);
}

TEST_CASE("receiver: spans outside of the kept time are left out and told as partial success") {
  const Received old =
      accepted(otlp_json(IngestPath::traces, one_span(kNow - 31 * 86'400'000'000'000ULL)));
  CHECK_FALSE(old.has_something_to_store);
  const json reply = json::parse(old.reply.body);
  CHECK(reply.at("partialSuccess").at("rejectedSpans").dump().find('1') != std::string::npos);
  CHECK_FALSE(reply.at("partialSuccess").at("errorMessage").get<std::string>().empty());
  CHECK_FALSE(accepted(otlp_json(IngestPath::traces, one_span(kNow + 2 * 86'400'000'000'000ULL)))
                  .has_something_to_store);
}

TEST_CASE("receiver: whole UTC days are taken besides today, of every kind and in every form") {
  constexpr uint64_t kDay = 86'400'000'000'000ULL;
  constexpr uint64_t kOldest = (kNow / kDay - 30) * kDay;  // 2026-10-23
  CHECK(accepted(otlp_json(IngestPath::traces, one_span(kOldest))).has_something_to_store);
  const Received old = accepted(otlp_json(IngestPath::traces, one_span(kOldest - 1)));
  CHECK_FALSE(old.has_something_to_store);
  CHECK(old.reply.body.find("of a day before 2026-10-23, the oldest that records are kept of") !=
        std::string::npos);
  const auto item = [](const char* type, uint64_t t) {
    return std::string(R"({"type":")") + type + R"(","payload":{"msg":"m","name":"n","value":1,)" +
           R"("ts":)" + std::to_string(t / 1'000'000) + "}}";
  };
  for (const char* type : {"log", "metric"}) {
    const Received got =
        accepted(ingest("[" + item(type, kOldest) + "," + item(type, kOldest - 1'000'000) + "]"));
    const json told = json::parse(got.reply.body);
    CHECK(told.at("accepted") == 1);
    REQUIRE(told.at("rejected").size() == 1);
    CHECK(told.at("rejected")[0].at("error").get<std::string>().find("before 2026-10-23") !=
          std::string::npos);
  }
}

TEST_CASE("receiver: a metric of a day that takes no more points is refused, and its sender told") {
  constexpr uint64_t kDay = 86'400'000'000'000ULL;
  ReceiverOptions options;
  int asked = 0;
  options.closed_metric_days = [&asked] {
    ++asked;
    return std::set<uint32_t>{static_cast<uint32_t>(kNow / kDay - 2)};
  };
  const auto metric = [](uint64_t nanos) {
    return R"({"type":"metric","payload":{"name":"n","value":1,"ts":)" +
           std::to_string(nanos / 1'000'000) + "}}";
  };
  IngestRequest request = ingest("[" + metric(kNow) + "]");
  CHECK(std::get<Received>(receive(request, kNow, options)).reply.status == 202);
  CHECK(asked == 0);  // today is open: nobody needs to be asked
  request.body = "[" + metric(kNow - 2 * kDay) + "," + metric(kNow - kDay) + "," +
                 metric(kNow - 2 * kDay) + "]";
  const auto got = std::get<Received>(receive(request, kNow, options));
  CHECK(asked == 1);
  CHECK(got.reply.status == 400);
  CHECK(got.reply.rejected == 2);
  const json told = json::parse(got.reply.body);
  CHECK(told.at("accepted") == 1);
  CHECK(told.at("rejected").at(0).at("field") == "ts");
  CHECK(told.at("rejected").at(0).at("error").get<std::string>().find("lake") != std::string::npos);
}

TEST_CASE("receiver: a batch refused whole does not use up its number, one with a good item does") {
  IngestRequest request = ingest(R"({"type":"bad"})");
  request.batch_identity = kBatch;
  CHECK_FALSE(accepted(request).has_something_to_store);
  request.body = "[" + kGoodLog + R"(,{"type":"bad"}])";
  CHECK(accepted(request).has_something_to_store);
}

TEST_CASE("receiver: refusals of OTLP are google.rpc.Status in the request's content type") {
  IngestRequest broken = otlp_json(IngestPath::logs, 1);
  broken.body = "{";
  IngestReply reply = refused(broken);
  CHECK(reply.status == 400);
  CHECK(reply.content_type == "application/json");
  CHECK(json::parse(reply.body).at("code") == 3);

  broken.content_type = "application/x-protobuf";
  broken.body = "\xFF\xFF\xFF";
  reply = refused(broken);
  CHECK(reply.status == 400);
  CHECK(reply.content_type == "application/x-protobuf");
  CHECK(reply.body ==
        telemetry::encode_status(telemetry::OtlpFormat::protobuf, 3, reply.body.substr(4)));

  broken.content_type = "text/plain";
  CHECK(refused(broken).status == 415);
  broken.content_type.clear();
  CHECK(refused(broken).status == 415);
}

TEST_CASE("receiver: bodies come plain, gzip or zstd, and are bounded after decompression") {
  for (const char* encoding : {"gzip", "zstd", "identity", "GZIP"}) {
    IngestRequest request = ingest(kGoodLog);
    request.content_encoding = encoding;
    const std::string name = encoding;
    if (name == "gzip" || name == "GZIP") request.body = net::gzip_encode(request.body);
    if (name == "zstd") request.body = net::zstd_encode(request.body);
    CHECK(accepted(request).unit.batch.logs->logs.size() == 1);
  }
  IngestRequest request = ingest(kGoodLog);
  request.content_encoding = "br";
  CHECK(refused(request).status == 415);
  request.content_encoding = "gzip";
  CHECK(refused(request).status == 400);  // it is not
  request.body = net::gzip_encode(std::string(65ULL << 20, ' '));
  CHECK(refused(request).status == 413);
}

TEST_CASE("receiver: /ingest answers as documented") {
  Received got = accepted(ingest(kGoodLog));
  CHECK(got.reply.status == 202);
  CHECK(got.reply.body == R"({"accepted":1})");
  CHECK(got.unit.service == "shop");
  got = accepted(ingest("[" + kGoodLog + ",{\"type\":\"metric\",\"payload\":{\"name\":\"x\"}}]"));
  CHECK(got.reply.status == 400);
  CHECK(got.has_something_to_store);
  const json reply = json::parse(got.reply.body);
  CHECK(reply.at("accepted") == 1);
  CHECK(reply.at("rejected").at(0).at("index") == 1);
  CHECK(reply.at("rejected").at(0).at("field") == "value");
  const IngestReply not_json = refused(ingest("{\"type\":"));
  CHECK(not_json.status == 400);
  CHECK(json::parse(not_json.body).at("byte") == 8);
  CHECK(json::parse(not_json.body).at("status") == "error");
  IngestRequest protobuf = ingest("");
  protobuf.content_type = "application/x-protobuf";
  CHECK(refused(protobuf).status == 415);
}

TEST_CASE("receiver: a wrong batch identity is refused before anything is decoded") {
  IngestRequest request = ingest(kGoodLog);
  request.batch_identity = "nonsense";
  CHECK(refused(request).status == 400);
  CHECK(refused(request).body.find("x-hms-batch") != std::string::npos);
}

TEST_CASE("receiver: what the sender dropped is read by reason; what does not fit is left out") {
  const auto dropped =
      parse_dropped("spool_full=12; spans_limit=3;=4;x=;y=-1;z=99999999999999999999;last=0");
  CHECK(dropped ==
        std::map<std::string, uint64_t>{{"spool_full", 12}, {"spans_limit", 3}, {"last", 0}});
  CHECK(parse_dropped("").empty());
  IngestRequest request = ingest(kGoodLog);
  request.batch_identity = kBatch;
  request.dropped = "spool_full=2";
  CHECK(accepted(request).unit.reported_dropped.at("spool_full") == 2);
}

TEST_CASE("receiver: a full disk is 503 and an overload 429, both with Retry-After, a bug is 500") {
  const auto failure = [](net::Code code) {
    return storage_failure(IngestPath::traces, "application/json",
                           {code, net::Side::self, true, "why"});
  };
  for (const net::Code code :
       {net::Code::no_space, net::Code::overloaded, net::Code::unavailable, net::Code::io}) {
    const IngestReply reply = failure(code);
    CHECK(reply.status == (code == net::Code::overloaded ? 429 : 503));
    CHECK_FALSE(net::header_value(reply.headers, "retry-after").empty());
    CHECK(json::parse(reply.body).at("code") == (code == net::Code::overloaded ? 8 : 14));
  }
  CHECK(failure(net::Code::corrupt).status == 500);
}

TEST_CASE("receiver: what a batch holds in memory is told, not only its bytes on the way") {
  std::string body = "[";
  for (int i = 0; i < 1000; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"type":"log","payload":{"msg":"a"}})";
  const Received got = accepted(ingest(body + "]"));
  REQUIRE(got.unit.batch.logs);
  CHECK(got.unit.bytes == body.size() + 1);
  CHECK(got.unit.memory_bytes > got.unit.bytes + 1000 * sizeof(telemetry::LogView));
}
