// recorder.h: what one proxy worker measured since the last flip: plain arrays, no locks, no
// allocation per request in the steady state.
//
// A request is counted under a SeriesKey of small integers; names behind the integers are interned
// once per worker (`NameTable`). Once a second the worker flips: the delta moves out (to the thread
// that encodes it) and recording goes on in the other buffer. Limits: 4,096 series a worker
// (beyond: folded into the route `other`, counted), 16,384 spans a second a worker (beyond:
// dropped, counted). Thread: the worker's; a RecorderDelta is a value and may be moved to another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/ids.h"

namespace hms::telemetry {

enum class Direction : uint8_t { inbound, outbound };
/// http.request.method; anything else is `_OTHER` (semantic conventions 1.x).
enum class Method : uint8_t {
  get,
  head,
  post,
  put,
  delete_,
  connect,
  options,
  trace,
  patch,
  other
};
[[nodiscard]] Method method_of(std::string_view text) noexcept;
[[nodiscard]] std::string_view method_name(Method method) noexcept;

/// error.type: set only on failures; 5xx (4xx too, outbound) use the status itself.
enum class ErrorType : uint8_t {
  none,
  client_disconnect,
  connect_failed,
  connect_timeout,
  timeout,
  reset,
  protocol,
  overloaded,
  no_upstream,
  other
};
[[nodiscard]] std::string_view error_type_name(ErrorType type) noexcept;

struct SeriesKey {
  uint32_t route = 0;     // NameTable index
  uint16_t upstream = 0;  // NameTable index; 0 is the empty name: no split
  uint16_t status = 0;    // 0: the caller left before a reply
  Method method = Method::other;
  Direction direction = Direction::inbound;
  ErrorType error_type = ErrorType::none;
  bool tls = false;  // url.scheme
  bool operator==(const SeriesKey&) const = default;
};

/// What a span is of: a request, or a connection passed on as it is.
enum class Transport : uint8_t { http, tcp, tls };

struct SpanRecord {
  TraceId trace_id;
  SpanId span_id, parent_span_id;
  uint64_t start_unix_nanos = 0;
  uint64_t duration_nanos = 0;
  SeriesKey key;
  Transport transport = Transport::http;
  uint64_t request_bytes = 0, response_bytes = 0;  // of bodies, or of the connection
  uint32_t peer = 0;           // NameTable index of the peer's or endpoint's address, 0: none
  uint32_t peer_identity = 0;  // NameTable index of a caller's verified TLS identity, 0: none
  uint32_t trace_text =
      0;  // 1 + index into RecorderDelta::texts of an x-trace that is not itself the id, 0: none
  uint32_t target =
      0;  // 1 + index into texts of the request's path (TLS: the server's name), cut to 256 bytes
};

/// Interned texts; index 0 is "". At most 65,535; beyond, `intern` answers `overflow()`.
class NameTable {
 public:
  NameTable();
  [[nodiscard]] uint32_t intern(std::string_view text);
  /// For names that callers choose (addresses of peers): takes at most half the table, so that they
  /// never crowd out routes and upstreams.
  [[nodiscard]] uint32_t intern_peer(std::string_view text);
  [[nodiscard]] const std::string& name(uint32_t index) const noexcept;
  [[nodiscard]] uint32_t overflow() const noexcept;  // index of "other"
  [[nodiscard]] size_t size() const noexcept;
  ~NameTable();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct SeriesDelta {
  SeriesKey key;
  Histogram duration;  // seconds
};

/// Everything one worker measured in one interval, with the names its indices need.
struct RecorderDelta {
  uint64_t begin_unix_nanos = 0, end_unix_nanos = 0;
  std::vector<SeriesDelta> series;
  std::vector<SpanRecord> spans;
  std::vector<std::string> texts;
  /// What the indices of this delta stand for: the names it uses and no others; pieces of a delta
  /// share it. Null: it uses none.
  std::shared_ptr<const std::vector<std::string>> names;
  uint64_t spans_dropped = 0;
  uint64_t series_folded = 0;

  [[nodiscard]] std::string_view name(uint32_t index) const noexcept {
    return names != nullptr && index < names->size() ? std::string_view((*names)[index])
                                                     : std::string_view();
  }
};

class Recorder {
 public:
  Recorder();
  ~Recorder();
  [[nodiscard]] NameTable& names() noexcept;
  /// Counts one finished request.
  void add(const SeriesKey& key, uint64_t duration_nanos);
  /// Keeps one span; texts are copied only when needed (empty: none).
  void add_span(const SpanRecord& span, std::string_view trace_text, std::string_view target);
  /// What was measured since the last flip; recording starts afresh.
  [[nodiscard]] RecorderDelta flip(uint64_t now_unix_nanos);
  [[nodiscard]] uint64_t requests() const noexcept;  // since start

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Who sends: becomes the OTLP resource.
struct ResourceIdentity {
  std::string service_name;
  std::string service_version;                             // may be empty
  std::string service_instance_id;                         // a UUID
  std::vector<std::pair<std::string, std::string>> extra;  // k8s.* and others
};

/// A counter or gauge of the proxy itself (hms_proxy_*).
struct OwnMetric {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  bool counter = true;  // else a gauge
};
/// One OTLP ExportMetricsServiceRequest (protobuf, uncompressed) of several workers' deltas; empty
/// text when there is nothing. http.server.request.duration and http.client.request.duration,
/// exponential histograms, delta temporality, unit s, each with its slowest span as exemplar; our
/// own metrics as cumulative sums and gauges. Spans: span_encoder.h.
[[nodiscard]] std::string encode_metrics(const ResourceIdentity& identity,
                                         const std::vector<RecorderDelta>& deltas,
                                         const std::vector<OwnMetric>& own,
                                         uint64_t process_start_unix_nanos,
                                         uint64_t now_unix_nanos);

}  // namespace hms::telemetry
