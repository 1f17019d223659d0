// otlp_decode.cc: entry points of otlp_decode.h, and the replies.
#include "telemetry/otlp_decode.h"

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "telemetry/otlp_read.h"
#include "telemetry/text.h"

namespace hms::telemetry {
namespace {

constexpr size_t kMaxReplyText =
    4096;  // a reply must stay small (OTLP: 4 MiB), and the sender keeps it in a log line

template <class Batch, class... More>
net::Result<Decoded<Batch>> decode(std::string body, OtlpFormat format, const char* kind,
                                   More... more) {
  if (body.size() > otlp::kMaxBodyBytes) {
    return net::Error{
        net::Code::too_large, net::Side::downstream, false,
        "the body has " + std::to_string(body.size()) + " bytes, at most 67108864 are taken"};
  }
  Decoded<Batch> decoded;
  decoded.batch.body = std::make_unique<const std::string>(std::move(body));
  otlp::Tally tally;
  tally.kind = kind;
  auto read = format == OtlpFormat::protobuf ? otlp::read_protobuf(decoded.batch, tally, more...)
                                             : otlp::read_json(decoded.batch, tally);
  if (!read) return read.error();
  decoded.rejected = tally.rejected;
  decoded.first_rejection = std::move(tally.first_rejection);
  return decoded;
}

std::string_view rejected_name(Signal signal) {
  switch (signal) {
    case Signal::traces:
      return "rejectedSpans";
    case Signal::metrics:
      return "rejectedDataPoints";
    case Signal::logs:
      return "rejectedLogRecords";
  }
  return {};
}

std::string reply_text(const std::string& message) {
  return is_valid_utf8(message) ? std::string(cut_utf8(message, kMaxReplyText))
                                : std::string(cut_utf8(repaired_utf8(message), kMaxReplyText));
}

}  // namespace

net::Result<Decoded<TraceBatch>> decode_traces(std::string body, OtlpFormat format) {
  return decode<TraceBatch>(std::move(body), format, "spans");
}
net::Result<Decoded<MetricBatch>> decode_metrics(std::string body, OtlpFormat format,
                                                 KnownAttributes* known) {
  return decode<MetricBatch>(std::move(body), format, "data points", known);
}
net::Result<Decoded<LogBatch>> decode_logs(std::string body, OtlpFormat format) {
  return decode<LogBatch>(std::move(body), format, "log records");
}

std::string encode_export_response(Signal signal, OtlpFormat format, uint64_t rejected,
                                   const std::string& message) {
  const bool full = rejected == 0 && message.empty();
  const std::string text = reply_text(message);
  std::string out;
  if (format == OtlpFormat::protobuf) {
    if (full) return out;
    protozero::pbf_writer response(out);
    protozero::pbf_writer partial(response, 1);
    if (rejected > 0) partial.add_int64(1, static_cast<int64_t>(rejected));
    if (!text.empty()) partial.add_string(2, text);
    partial.commit();
    return out;
  }
  if (full) return "{}";
  out = "{\"partialSuccess\":{";
  if (rejected > 0)
    out += "\"" + std::string(rejected_name(signal)) + "\":\"" + std::to_string(rejected) + "\"";
  if (!text.empty()) {
    out += rejected > 0 ? ",\"errorMessage\":" : "\"errorMessage\":";
    append_json_text(out, text);
  }
  return out + "}}";
}

std::string encode_status(OtlpFormat format, int grpc_code, const std::string& message) {
  const std::string text = reply_text(message);
  std::string out;
  if (format == OtlpFormat::protobuf) {
    protozero::pbf_writer status(out);
    status.add_int32(1, grpc_code);
    status.add_string(2, text);
    return out;
  }
  out = "{\"code\":" + std::to_string(grpc_code) + ",\"message\":";
  append_json_text(out, text);
  return out + "}";
}

uint64_t rejected_in_response(std::string_view protobuf) noexcept {
  try {
    for (protozero::pbf_reader response(protobuf.data(), protobuf.size()); response.next();) {
      if (response.tag_and_type() !=
          protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited)) {
        response.skip();
        continue;
      }
      for (protozero::pbf_reader partial = response.get_message(); partial.next();) {
        if (partial.tag_and_type() ==
            protozero::tag_and_type(1, protozero::pbf_wire_type::varint)) {
          const int64_t rejected = partial.get_int64();
          return rejected > 0 ? static_cast<uint64_t>(rejected) : 0;
        }
        partial.skip();
      }
    }
  } catch (const protozero::exception&) {
    return 0;  // another collector's reply that is not what it says; the batch is acknowledged by
               // the status
  }
  return 0;
}

}  // namespace hms::telemetry
