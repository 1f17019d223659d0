// span_encoder.h: spans of recorder deltas as OTLP (protobuf), a few at a time.
//
// What spans of one series have in common (name, kind, method, route, status ...) is encoded once
// per series and copied; only ids, times, sizes, path and peer are written for each. Attribute
// names: semantic conventions 1.x and docs/query.md. Thread: one owner at a time. Limit: what is
// remembered of series is 256 entries; the caller bounds what it adds before it takes.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "telemetry/recorder.h"

namespace hms::telemetry {

class SpanEncoder {
 public:
  explicit SpanEncoder(const ResourceIdentity& identity);
  /// To be called before the first span of another delta: names are numbered per delta.
  void begin_delta();
  /// Encodes the spans [begin, end) of `delta`.
  void add(const RecorderDelta& delta, size_t begin, size_t end);
  /// Encoded and not taken yet.
  [[nodiscard]] size_t bytes() const noexcept { return spans_.size(); }
  /// All of it as one ExportTraceServiceRequest, into `request`, which loses what it held. Such
  /// requests may be concatenated: their repeated fields go on.
  void take(std::string& request);

 private:
  /// The fields that all spans of a series share.
  struct Common {
    bool filled = false;
    Transport transport = Transport::http;
    SeriesKey key;
    std::string fields;
  };

  const std::string& common_fields(const RecorderDelta& delta, const SpanRecord& record);
  void append_attribute(std::string_view key, std::string_view text);
  void append_attribute(std::string_view key, int64_t number);
  void append_span(const RecorderDelta& delta, const SpanRecord& record);

  std::string resource_, scope_;
  std::string spans_;             // fields ScopeSpans.spans
  std::string span_, attribute_;  // under way; members for their capacity
  std::array<Common, 256> common_;
};

}  // namespace hms::telemetry
