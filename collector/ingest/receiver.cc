#include "collector/ingest/receiver.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "collector/ingest/ingest_json.h"
#include "net/http/compress.h"

namespace hms::collector {
namespace {

constexpr uint64_t kBucketBytes =
    2 * sizeof(telemetry::Histogram::Bucket);  // a vector grows twofold

using net::Code;
using net::Error;
using net::Result;
using telemetry::OtlpFormat;
using telemetry::Signal;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProtobuf = "application/x-protobuf";
constexpr size_t kMaxReasons = 32;

std::string media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t'))
    content_type.remove_suffix(1);
  std::string out(content_type);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

OtlpFormat format_of(const std::string& content_type) {
  return media_type(content_type) == kJson ? OtlpFormat::json : OtlpFormat::protobuf;
}

std::string_view content_type_of(OtlpFormat format) {
  return format == OtlpFormat::json ? kJson : kProtobuf;
}

/// google.rpc.Code of an HTTP status.
int grpc_code(int status) {
  switch (status) {
    case 413:
    case 429:
      return 8;  // RESOURCE_EXHAUSTED
    case 503:
      return 14;  // UNAVAILABLE
    case 500:
      return 13;  // INTERNAL
    default:
      return 3;  // INVALID_ARGUMENT
  }
}

std::string_view error_type(int status) {
  switch (status) {
    case 413:
      return "too_large";
    case 415:
      return "unsupported";
    case 429:
      return "overloaded";
    case 503:
      return "unavailable";
    case 500:
      return "internal";
    default:
      return "bad_data";
  }
}

IngestReply refusal(IngestPath path, const std::string& content_type, int status,
                    const std::string& sentence) {
  IngestReply reply;
  reply.status = status;
  if (path == IngestPath::ingest) {
    reply.content_type = kJson;
    reply.body =
        nlohmann::json{{"status", "error"}, {"errorType", error_type(status)}, {"error", sentence}}
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return reply;
  }
  const OtlpFormat format = format_of(content_type);
  reply.content_type = content_type_of(format);
  reply.body = telemetry::encode_status(format, grpc_code(status), sentence);
  return reply;
}

int status_of(const Error& error) {
  switch (error.code) {
    case Code::too_large:
      return 413;
    case Code::unsupported:
      return 415;
    default:
      return 400;
  }
}

/// Decodes Content-Encoding; several codings, as in "gzip, zstd", are not a thing senders do.
Result<std::string> decoded_body(std::string body, std::string_view encoding, uint64_t max_bytes) {
  const std::string name = media_type(encoding);
  if (name.empty() || name == "identity") return body;
  if (name == "gzip" || name == "x-gzip") return net::gzip_decode(body, max_bytes);
  if (name == "zstd") return net::zstd_decode(body, max_bytes);
  return Error{Code::unsupported, net::Side::downstream, false,
               "Content-Encoding '" + name.substr(0, 64) + "'; supported: identity, gzip, zstd"};
}

// ---------------------------------------------------------------- records outside of the kept time

/// Leaves out what `keep` refuses; how many.
template <class Record, class Keep>
uint64_t leave_out(std::vector<Record>& records, const Keep& keep) {
  const auto end =
      std::remove_if(records.begin(), records.end(), [&](const Record& r) { return !keep(r); });
  const auto count = static_cast<uint64_t>(records.end() - end);
  records.erase(end, records.end());
  return count;
}

struct LeftOut {
  uint64_t records = 0;
  std::string message;
};

LeftOut left_out_for_time(uint64_t records, const TimeBounds& bounds) {
  if (records == 0) return {};
  return {records, std::to_string(records) + " are of a day before " + bounds.oldest_day() +
                       ", the oldest that records are kept of, or more than a day ahead of the "
                       "collector's clock"};
}

LeftOut enforce(telemetry::TraceBatch& batch, const TimeBounds& bounds, MetricBounds&) {
  const auto kept = [&](const telemetry::SpanView& s) { return bounds.holds(s.start_unix_nanos); };
  return left_out_for_time(leave_out(batch.spans, kept), bounds);
}

LeftOut enforce(telemetry::LogBatch& batch, const TimeBounds& bounds, MetricBounds&) {
  for (auto& log : batch.logs) {
    if (log.time_unix_nanos == 0) log.time_unix_nanos = bounds.now;
  }
  const auto kept = [&](const telemetry::LogView& l) { return bounds.holds(l.time_unix_nanos); };
  return left_out_for_time(leave_out(batch.logs, kept), bounds);
}

LeftOut enforce(telemetry::MetricBatch& batch, const TimeBounds& bounds, MetricBounds& metrics) {
  for (auto& point : batch.points) {
    if (point.time_unix_nanos == 0) point.time_unix_nanos = bounds.now;
  }
  std::array<uint64_t, kPointFaults> faults{};
  LeftOut out;
  out.records = leave_out(batch.points, [&](const telemetry::MetricPointView& p) {
    PointFault fault = metrics.time_fault(p.time_unix_nanos);
    if (fault == PointFault::none) fault = MetricBounds::value_fault(batch, p);
    ++faults[static_cast<size_t>(fault)];
    return fault == PointFault::none;
  });
  for (size_t i = 1; out.records > 0 && i < faults.size(); ++i) {
    if (faults[i] == 0) continue;
    if (!out.message.empty()) out.message += "; ";
    out.message += std::to_string(faults[i]) + (faults[i] == 1 ? " is " : " are ") +
                   metrics.describe(static_cast<PointFault>(i));
  }
  return out;
}

std::string service_of(const telemetry::BatchStorage& batch) {
  return batch.resources.empty() ? std::string()
                                 : std::string(batch.resources.front().service_name);
}

size_t size_of(const telemetry::TraceBatch& batch) { return batch.spans.size(); }
size_t size_of(const telemetry::LogBatch& batch) { return batch.logs.size(); }
size_t size_of(const telemetry::MetricBatch& batch) { return batch.points.size(); }

// ---------------------------------------------------------------- the two kinds of request

template <class Batch>
std::variant<Received, IngestReply> take_decoded(
    Result<telemetry::Decoded<Batch>> decoded, const IngestRequest& request, Signal signal,
    OtlpFormat format, const TimeBounds& bounds, MetricBounds& metrics,
    std::shared_ptr<const Batch> AcceptedBatch::*slot) {
  if (!decoded.ok())
    return refusal(request.path, request.content_type, status_of(decoded.error()),
                   decoded.error().detail);
  telemetry::Decoded<Batch>& got = decoded.value();
  const LeftOut left_out = enforce(got.batch, bounds, metrics);
  std::string message = std::move(got.first_rejection);
  if (!message.empty() && !left_out.message.empty()) message += "; ";
  message += left_out.message;
  Received out;
  out.reply.status = 200;
  out.reply.content_type = content_type_of(format);
  out.reply.rejected = got.rejected + left_out.records;
  out.reply.body = telemetry::encode_export_response(signal, format, out.reply.rejected, message);
  out.unit.service = service_of(got.batch);
  out.has_something_to_store = size_of(got.batch) > 0;
  if (out.has_something_to_store)
    out.unit.batch.*slot = std::make_shared<const Batch>(std::move(got.batch));
  return out;
}

// Of this decoding thread. Whoever needs the attributes of a gauge or a counter reads them
// (telemetry/model.h): the store does for a series that is new to it, nobody else.
thread_local telemetry::KnownAttributes known_attributes;

std::variant<Received, IngestReply> receive_otlp(IngestRequest& request, std::string body,
                                                 const TimeBounds& bounds, MetricBounds& metrics) {
  const std::string type = media_type(request.content_type);
  if (type != kJson && type != kProtobuf && type != "application/protobuf") {
    return refusal(request.path, request.content_type, 415,
                   "Content-Type '" + type.substr(0, 64) +
                       "'; supported: application/x-protobuf, application/json");
  }
  const OtlpFormat format = format_of(request.content_type);
  switch (request.path) {
    case IngestPath::traces:
      return take_decoded(telemetry::decode_traces(std::move(body), format), request,
                          Signal::traces, format, bounds, metrics, &AcceptedBatch::traces);
    case IngestPath::metrics:
      return take_decoded(telemetry::decode_metrics(std::move(body), format, &known_attributes),
                          request, Signal::metrics, format, bounds, metrics,
                          &AcceptedBatch::metrics);
    case IngestPath::logs:
    case IngestPath::ingest:
      break;
  }
  return take_decoded(telemetry::decode_logs(std::move(body), format), request, Signal::logs,
                      format, bounds, metrics, &AcceptedBatch::logs);
}

std::string ingest_reply_body(const ParsedIngest& parsed) {
  nlohmann::json reply{{"accepted", parsed.accepted}};
  if (parsed.rejected > 0) {
    auto rejected = nlohmann::json::array();
    for (const auto& item : parsed.faults)
      rejected.push_back({{"index", item.index}, {"field", item.field}, {"error", item.error}});
    reply["rejected"] = std::move(rejected);
    if (parsed.rejected > parsed.faults.size()) reply["rejected_total"] = parsed.rejected;
  }
  return reply.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::variant<Received, IngestReply> receive_ingest(const IngestRequest& request,
                                                   const std::string& body,
                                                   const TimeBounds& bounds,
                                                   MetricBounds& metrics) {
  const std::string type = media_type(request.content_type);
  if (type == kProtobuf || type == "application/protobuf") {
    return refusal(request.path, type, 415,
                   "/ingest takes JSON; protobuf goes to /v1/traces, /v1/metrics or /v1/logs");
  }
  NotJson not_json;
  auto parsed = parse_ingest(body, bounds, metrics, &not_json);
  if (!parsed.ok()) {
    IngestReply reply =
        refusal(request.path, type, status_of(parsed.error()), parsed.error().detail);
    if (parsed.error().code == Code::bad_message) {
      reply.body.insert(reply.body.size() - 1, ",\"byte\":" + std::to_string(not_json.byte));
    }
    return reply;
  }
  ParsedIngest& got = parsed.value();
  Received out;
  out.reply.status = got.rejected == 0 ? 202 : 400;
  out.reply.rejected = got.rejected;
  out.reply.content_type = kJson;
  out.reply.body = ingest_reply_body(got);
  out.has_something_to_store = got.accepted > 0;
  const auto take = [&](auto& batch, auto slot) {
    if (size_of(batch) == 0) return;
    if (out.unit.service.empty()) out.unit.service = service_of(batch);
    using Batch = std::remove_reference_t<decltype(batch)>;
    out.unit.batch.*slot = std::make_shared<const Batch>(std::move(batch));
  };
  take(got.traces, &AcceptedBatch::traces);
  take(got.logs, &AcceptedBatch::logs);
  take(got.metrics, &AcceptedBatch::metrics);
  return out;
}

template <class T>
uint64_t room_of(const std::vector<T>& all) {
  return all.capacity() * sizeof(T);
}

uint64_t memory_of(const telemetry::BatchStorage& batch) {
  uint64_t bytes = room_of(batch.resources) + room_of(batch.attributes);
  for (const std::string& text : batch.arena) bytes += sizeof(std::string) + text.capacity();
  return bytes;
}

/// What a batch holds beside its body: many small records take several times their text.
uint64_t memory_of(const AcceptedBatch& batch) {
  uint64_t bytes = 0;
  if (batch.traces)
    bytes += memory_of(static_cast<const telemetry::BatchStorage&>(*batch.traces)) +
             room_of(batch.traces->spans) + room_of(batch.traces->events) +
             room_of(batch.traces->links);
  if (batch.logs)
    bytes += memory_of(static_cast<const telemetry::BatchStorage&>(*batch.logs)) +
             room_of(batch.logs->logs);
  if (batch.metrics)
    bytes += memory_of(static_cast<const telemetry::BatchStorage&>(*batch.metrics)) +
             room_of(batch.metrics->points) + room_of(batch.metrics->histograms) +
             batch.metrics->buckets * kBucketBytes;
  return bytes;
}

}  // namespace

std::variant<Received, IngestReply> receive(IngestRequest request, uint64_t now_unix_nanos,
                                            const ReceiverOptions& options) {
  std::optional<BatchIdentity> identity;
  if (!request.batch_identity.empty()) {
    auto parsed = parse_batch_identity(request.batch_identity);
    if (!parsed.ok())
      return refusal(request.path, request.content_type, 400, parsed.error().detail);
    identity = std::move(parsed).value();
  }
  auto body =
      decoded_body(std::move(request.body), request.content_encoding, options.max_body_bytes);
  if (!body.ok())
    return refusal(request.path, request.content_type, status_of(body.error()),
                   body.error().detail);
  const uint64_t bytes = body.value().size();
  const TimeBounds bounds = TimeBounds::around(now_unix_nanos, options.retention_days);
  MetricBounds metrics(now_unix_nanos, options.metric_retention_days, options.closed_metric_days);
  auto result = request.path == IngestPath::ingest
                    ? receive_ingest(request, body.value(), bounds, metrics)
                    : receive_otlp(request, std::move(body).value(), bounds, metrics);
  if (auto* received = std::get_if<Received>(&result)) {
    received->unit.batch.arrived_unix_nanos = now_unix_nanos;
    received->unit.bytes = bytes;
    received->unit.memory_bytes = bytes + memory_of(received->unit.batch);
    received->unit.reported_dropped = parse_dropped(request.dropped);
    // An empty batch with an identity is stored too: its number must not look like a gap. One that
    // was refused whole is not: the sender may mend it and send it under the same number.
    if (identity && received->reply.status < 400) received->has_something_to_store = true;
    received->unit.identity = std::move(identity);
  }
  return result;
}

IngestReply storage_failure(IngestPath path, const std::string& content_type, const Error& error) {
  const bool later = error.code == Code::overloaded || error.code == Code::no_space ||
                     error.code == Code::unavailable || error.code == Code::io;
  const int status = error.code == Code::overloaded ? 429 : later ? 503 : 500;
  IngestReply reply =
      refusal(path, content_type, status, "nothing of this request was stored: " + error.detail);
  if (later) reply.headers.emplace_back("Retry-After", error.code == Code::overloaded ? "1" : "5");
  return reply;
}

std::map<std::string, uint64_t> parse_dropped(std::string_view header) {
  std::map<std::string, uint64_t> out;
  while (!header.empty() && out.size() < kMaxReasons) {
    const size_t end = std::min(header.find(';'), header.size());
    std::string_view pair = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    while (!pair.empty() && pair.back() == ' ') pair.remove_suffix(1);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    const std::string_view digits = pair.substr(equals + 1);
    uint64_t count = 0;
    const auto [stop, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (wrong == std::errc() && stop == digits.data() + digits.size())
      out[std::string(pair.substr(0, equals))] = count;
  }
  return out;
}

}  // namespace hms::collector
