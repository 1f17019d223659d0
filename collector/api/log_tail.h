// log_tail.h: GET /ops/logs/tail: log lines as they are stored, as Server-Sent Events, filtered
// like /ops/logs.
//
// An unnamed event is one line. `event: gap` says how many lines that may have fitted were left
// out, and why: "slow" (the reader takes less than comes) or "busy" (more lines come than all
// filters together can be tried on). A reader that takes nothing for 30 s is told so and let go.
// With the audit on, the lines that went out are recorded every minute and at the end.
// Limits: 64 readers (beyond: 503), 256 KiB waiting for one, 200,000 looks at a line a second over
// all readers: then lines are left out, not the rest of the collector. Thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/api/audited_question.h"
#include "collector/store/log_match.h"
#include "collector/store/signal_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"
#include "net/io/timer_wheel.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

class LogTail {
 public:
  static constexpr size_t kMaxReaders = 64;
  static constexpr size_t kMaxQueued = 256 * 1024;
  static constexpr uint64_t kLooksPerSecond = 200'000;
  static constexpr net::Millis kStalled{30'000};
  static constexpr net::Millis kKeepAlive{10'000};
  static constexpr net::Millis kRecordEvery{60'000};

  explicit LogTail(net::Loop& loop);
  ~LogTail();
  /// Lines that fit any of the queries. False when there are too many readers; nothing was sent
  /// then.
  [[nodiscard]] bool subscribe(const net::ReplyPtr& reply, const std::vector<LogQuery>& any_of,
                               const AuditedPtr& audited = nullptr);
  /// The program stops: what went out is recorded, and nothing more is sent.
  void close();
  void on_batch(const AcceptedBatch& batch);
  void write_metrics(telemetry::PromWriter& writer) const;

 private:
  struct Reader {
    Reader(net::ReplyPtr to, const std::vector<LogQuery>& any_of, AuditedPtr audit)
        : reply(std::move(to)), matches(any_of.begin(), any_of.end()), audited(std::move(audit)) {}
    [[nodiscard]] bool wants(const telemetry::LogBatch& batch, const telemetry::LogView& log) const;
    void record();
    net::ReplyPtr reply;
    std::vector<LogMatch> matches;
    AuditedPtr audited;  // may be null
    uint64_t recorded_at = 0;
    uint64_t left_out_slow = 0, left_out_busy = 0;
    uint64_t last_written_at = 0, last_taken_at = 0;             // loop milliseconds
    std::shared_ptr<bool> gone = std::make_shared<bool>(false);  // the reply may outlive the reader
  };
  void offer(Reader& reader, const telemetry::LogBatch& batch);
  bool tell_gap(Reader& reader);
  void write(Reader& reader, const std::string& text);
  void on_second();
  void sweep();

  net::Loop& loop_;
  net::Timer timer_;
  std::vector<std::unique_ptr<Reader>> readers_;
  uint64_t looks_left_ = kLooksPerSecond;
  uint64_t lines_ = 0, left_out_ = 0, refused_ = 0, let_go_ = 0;
};

}  // namespace hms::collector
