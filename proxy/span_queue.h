// span_queue.h: the spans of the last seconds on their way into compressed OTLP, a little at a
// time.
//
// A second of a busy proxy is 16,384 spans a worker, several milliseconds of encoding and
// compressing on a thread that may share its core with a worker. A step is some tens of
// microseconds, so that a request that comes meanwhile is not among the slow ones. Nothing is held
// uncompressed but one piece. Limits: kMostSeconds seconds wait; beyond, the newest is dropped and
// counted, so that workers that measure faster than one thread encodes cost memory for a moment and
// not without end; a batch ends at kBatchBytes, and the second goes on in the next. Thread: the
// main loop.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "net/http/compress.h"
#include "telemetry/recorder.h"
#include "telemetry/span_encoder.h"

namespace hms::proxy {

class SpanQueue {
 public:
  static constexpr size_t kMostSeconds = 4;
  static constexpr size_t kSpansPerStep = 128;         // about 30 us of encoding
  static constexpr size_t kPackedPerStep = 32 * 1024;  // about 30 us of compressing
  static constexpr size_t kPieceBytes = 128 * 1024;    // one resource and scope for so many spans
  static constexpr size_t kBatchBytes = 16 * 1024 * 1024;  // well within what OTLP receivers take

  /// One request, ready for the exporter.
  struct Batch {
    std::string packed;  // ExportTraceServiceRequest, zstd
    uint64_t spans = 0;
  };

  explicit SpanQueue(const telemetry::ResourceIdentity& resource);
  /// Takes the spans out of the deltas of one second. Returns how many were dropped because too
  /// many seconds wait.
  [[nodiscard]] uint64_t add(std::vector<telemetry::RecorderDelta>& deltas);
  [[nodiscard]] bool empty() const noexcept { return seconds_.empty(); }
  /// Encodes or compresses a little. True if that ended a batch: `batch` holds it.
  [[nodiscard]] bool step(Batch& batch);

 private:
  struct Second {
    std::vector<telemetry::RecorderDelta> deltas;  // those with spans, and nothing but them
    size_t delta = 0, span = 0;                    // where encoding has got to
  };
  void encode_some(Second& second);

  std::deque<Second> seconds_;
  telemetry::SpanEncoder encoder_;
  std::string piece_;        // encoded, being compressed
  size_t piece_packed_ = 0;  // of it
  size_t batch_bytes_ = 0;   // of the batch, uncompressed
  Batch batch_;
  net::ZstdEncoder packer_;
};

}  // namespace hms::proxy
