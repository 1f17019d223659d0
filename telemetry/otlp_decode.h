// otlp_decode.h: OTLP/HTTP request bodies (protobuf and JSON) into batches; and the protobuf/JSON
// of its replies.
//
// Source: opentelemetry-proto 1.x `collector/*/v1`, and the JSON mapping's deviations (hex ids,
// enums as integers, lowerCamelCase, unknown fields ignored, 64-bit integers as text or number). A
// record that is wrong by itself (zero ids, a metric without a name or a value) is left out and
// counted in `rejected` with the first reason; a body that cannot be read is an Error whose detail
// names the place (byte offset, or JSON path). Only otlp_*.cc know protozero. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/result.h"
#include "telemetry/known_attributes.h"
#include "telemetry/model.h"

namespace hms::telemetry {

enum class OtlpFormat : uint8_t { protobuf, json };

template <class Batch>
struct Decoded {
  Batch batch;
  uint64_t rejected = 0;
  std::string first_rejection;  // "spans[3]: trace_id is all zero"
};

[[nodiscard]] net::Result<Decoded<TraceBatch>> decode_traces(std::string body, OtlpFormat format);
/// `known`: what this thread has decoded before; the attributes of gauges and counters that are in
/// it are left as they stand in a protobuf body (MetricPointView::raw_attributes). Null: none is.
[[nodiscard]] net::Result<Decoded<MetricBatch>> decode_metrics(std::string body, OtlpFormat format,
                                                               KnownAttributes* known = nullptr);
/// Attributes that were left as they stood, added to `into`, whose views point into `raw` too.
[[nodiscard]] AttributeRange read_raw_attributes(BatchStorage& into, std::string_view raw);
[[nodiscard]] net::Result<Decoded<LogBatch>> decode_logs(std::string body, OtlpFormat format);

enum class Signal : uint8_t { traces, metrics, logs };
/// The Export*ServiceResponse: empty on full success (partial_success left unset), else with count
/// and message.
[[nodiscard]] std::string encode_export_response(Signal signal, OtlpFormat format,
                                                 uint64_t rejected, const std::string& message);
/// Records that an Export*ServiceResponse (protobuf) says were left out; 0 for anything else.
[[nodiscard]] uint64_t rejected_in_response(std::string_view protobuf) noexcept;
/// google.rpc.Status for 4xx/5xx replies.
[[nodiscard]] std::string encode_status(OtlpFormat format, int grpc_code,
                                        const std::string& message);

}  // namespace hms::telemetry
