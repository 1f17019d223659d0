// span_queue.h: the spans of the last seconds on their way into OTLP, encoded piece by piece.
//
// A second of a busy proxy is 16,384 spans a worker, tens of milliseconds of encoding on the one
// thread that also answers the admin interface; pieces let the loop breathe. Limit: kMostSeconds
// seconds wait; beyond, the newest is dropped and counted, so that workers that measure faster than
// one thread encodes cost memory for a moment and not without end. Thread: the main loop.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "telemetry/recorder.h"

namespace hms::proxy {

class SpanQueue {
 public:
  static constexpr size_t kMostSeconds = 4;
  static constexpr size_t kSpansPerPiece = 512;  // about 2 ms of encoding

  /// One second's requests, ready for the exporter.
  struct Batch {
    std::string body;  // ExportTraceServiceRequest
    uint64_t spans = 0;
  };

  /// Takes the spans out of the deltas of one second. Returns how many were dropped because too
  /// many seconds wait.
  [[nodiscard]] uint64_t add(std::vector<telemetry::RecorderDelta>& deltas);
  [[nodiscard]] bool empty() const noexcept { return seconds_.empty(); }
  /// Encodes one piece. True if that ended a second: `batch` holds it.
  [[nodiscard]] bool step(const telemetry::ResourceIdentity& resource, Batch& batch);

 private:
  struct Second {
    std::vector<telemetry::RecorderDelta> pieces;
    size_t done = 0;
    Batch batch;
  };
  std::deque<Second> seconds_;
};

}  // namespace hms::proxy
