// exporter.cc: see exporter.h. One state: a batch is in flight, or a back-off runs, or the spool is
// empty.
#include "telemetry/exporter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "net/core/clock.h"
#include "net/core/log.h"
#include "net/core/random.h"
#include "net/http/compress.h"

namespace hms::telemetry {
namespace {

using net::Millis;

constexpr Millis kFirstBackoff{250};
constexpr Millis kLongestBackoff{5'000};
constexpr Millis kLeastBackoff{
    10};  // full jitter may draw zero, and a refused connection answers at once
constexpr Millis kLongestRetryAfter{60'000};
constexpr Millis kFlushBackoff{250};
constexpr Millis kRequestTimeout{10'000};
constexpr uint64_t kMaxBodyBytes =
    64ULL * 1024 * 1024;             // what OTLP receivers take, counted uncompressed
constexpr int kMaxServerFaults = 8;  // 500 and its kin, for one batch
constexpr uint64_t kLogEveryMillis = 60'000;

std::string_view path_of(Signal signal) {
  switch (signal) {
    case Signal::traces:
      return "/v1/traces";
    case Signal::metrics:
      return "/v1/metrics";
    case Signal::logs:
      return "/v1/logs";
  }
  return {};
}

/// Seconds or an HTTP date; no value if it is neither.
std::optional<Millis> parse_retry_after(std::string_view text, uint64_t now_unix_nanos) {
  if (text.empty()) return std::nullopt;
  uint64_t seconds = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (fault == std::errc() && end == text.data() + text.size()) {
    return Millis(static_cast<int64_t>(std::min<uint64_t>(seconds, 3'600) * 1'000));
  }
  std::tm when{};
  const std::string date(text.substr(0, 64));
  if (::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &when) == nullptr) return std::nullopt;
  const int64_t wait =
      static_cast<int64_t>(::timegm(&when)) - static_cast<int64_t>(now_unix_nanos / 1'000'000'000);
  return Millis(std::clamp<int64_t>(wait, 0, 3'600) * 1'000);
}

class HttpExporter final : public Exporter {
 public:
  HttpExporter(net::Loop& loop, net::HttpClient& client, ExporterOptions options)
      : loop_(loop),
        client_(client),
        options_(std::move(options)),
        spool_(options_.spool_bytes),
        retry_timer_(loop, [this] { send_next(); }),
        flush_timer_(loop, [this] { end_flush(false); }),
        settled_timer_(loop, [this] { end_flush(true); }) {
    while (!options_.collector_url.empty() && options_.collector_url.back() == '/')
      options_.collector_url.pop_back();
    identity_ = options_.instance_id + "/" + std::to_string(options_.boot_number) + "/";
  }

  void add(Signal signal, std::string body, uint64_t records) override {
    if (body.size() > kMaxBodyBytes) {
      ++next_sequence_;  // a gap: the ledger counts it as missing, beside what is told of the drop
      spool_.count_dropped("too_large", records);
      return;
    }
    add_packed(signal, net::zstd_encode(body), records);
  }

  void add_packed(Signal signal, std::string body, uint64_t records) override {
    SpooledBatch batch;
    batch.signal = signal;
    batch.sequence = next_sequence_++;
    batch.records = records;
    batch.body = std::move(body);
    spool_.add(std::move(batch));
    if (!call_ && !retry_timer_.armed()) send_next();
  }

  void count_dropped(const std::string& reason, uint64_t records) override {
    spool_.count_dropped(reason, records);
  }

  void flush(Millis deadline, std::function<void(bool)> done) override {
    if (flush_done_) end_flush(false);  // a second flush takes the first one's place
    flush_done_ = std::move(done);
    if (spool_.front() == nullptr || options_.collector_url.empty()) {
      settled_timer_.arm(Millis(0));
      return;
    }
    flush_timer_.arm(deadline);
    if (!call_) {
      retry_timer_.disarm();
      send_next();
    }
  }

  [[nodiscard]] const SpoolCounters& counters() const noexcept override {
    return spool_.counters();
  }
  [[nodiscard]] const ExporterState& state() const noexcept override { return state_; }

 private:
  void send_next() {
    const SpooledBatch* batch = spool_.front();
    if (batch == nullptr || options_.collector_url.empty() || call_) return;
    spool_.pin_front(true);
    net::ClientRequest request;
    request.method = "POST";
    request.url = options_.collector_url + std::string(path_of(batch->signal));
    request.headers = {{"content-type", "application/x-protobuf"},
                       {"content-encoding", "zstd"},
                       {"x-hms-batch", identity_ + std::to_string(batch->sequence)}};
    if (auto dropped = dropped_text(); !dropped.empty())
      request.headers.emplace_back("x-hms-dropped", std::move(dropped));
    request.body = batch->body;
    request.timeout = kRequestTimeout;
    ++state_.attempts;
    call_ = client_.send(std::move(request), [this](net::Result<net::ClientReply> reply) {
      on_reply(std::move(reply));
    });
  }

  /// "spool_full=12;spans_limit=3"
  [[nodiscard]] std::string dropped_text() const {
    std::string text;
    for (const auto& [reason, records] : spool_.counters().dropped_records) {
      if (!text.empty()) text += ';';
      text += reason + "=" + std::to_string(records);
    }
    return text;
  }

  void on_reply(net::Result<net::ClientReply> reply) {
    loop_.retire(std::move(call_));  // we are inside its callback
    spool_.pin_front(false);
    if (!reply) return on_fault(net::to_string(reply.error()), std::nullopt);
    const int status = reply->status;
    if (status >= 200 && status < 300) return on_acknowledged(*reply);
    const bool retryable = status == 429 || status == 502 || status == 503 || status == 504 ||
                           (is_refusal(status) && may_be_misrouted());
    if (retryable || (status >= 500 && ++server_faults_ < kMaxServerFaults)) {
      return on_fault(
          "HTTP " + std::to_string(status),
          parse_retry_after(net::header_value(reply->headers, "retry-after"), net::unix_nanos()));
    }
    on_rejected(*reply);
  }

  /// Says of the path, not of the batch: perhaps there is no collector behind it just now.
  [[nodiscard]] static bool is_refusal(int status) noexcept {
    return (status >= 300 && status < 400) || status == 401 || status == 403 || status == 404;
  }

  bool may_be_misrouted() {
    uint64_t& since = refused_since_[static_cast<size_t>(spool_.front()->signal)];
    const uint64_t now = loop_.now_millis();
    if (since == 0) since = std::max<uint64_t>(now, 1);
    return now - since < static_cast<uint64_t>(options_.refused_limit.count());
  }

  void on_acknowledged(const net::ClientReply& reply) {
    refused_since_[static_cast<size_t>(spool_.front()->signal)] = 0;
    const bool is_protobuf =
        net::header_value(reply.headers, "content-type").starts_with("application/x-protobuf");
    const uint64_t rejected =
        is_protobuf && !reply.body.empty() ? rejected_in_response(reply.body) : 0;
    if (rejected > 0 && may_log(rejected_logged_at_)) {
      net::log_warn("the collector left records of a batch out",
                    {{"records", rejected},
                     {"sequence", spool_.front()->sequence},
                     {"collector", options_.collector_url}});
    }
    spool_.acknowledge_front(rejected);
    if (!state_.connected && failures_in_row_ > 0) {
      net::log_info("telemetry flows again", {{"collector", options_.collector_url},
                                              {"waiting_batches", spool_.counters().batches}});
    }
    state_.connected = true;
    state_.last_ack_unix_nanos = net::unix_nanos();
    go_on();
  }

  void on_rejected(const net::ClientReply& reply) {
    ++state_.failures;
    state_.connected = false;
    if (may_log(rejected_logged_at_)) {
      net::log_warn("the collector refused a telemetry batch; it is dropped",
                    {{"status", reply.status},
                     {"records", spool_.front()->records},
                     {"sequence", spool_.front()->sequence},
                     {"collector", options_.collector_url}});
    }
    spool_.drop_front("rejected");
    go_on();
  }

  void go_on() {
    failures_in_row_ = 0;
    server_faults_ = 0;
    if (spool_.front() != nullptr) return send_next();
    if (flush_done_) end_flush(true);
  }

  void on_fault(const std::string& what, std::optional<Millis> retry_after) {
    ++state_.failures;
    state_.connected = false;
    if (may_log(fault_logged_at_)) {
      net::log_warn("telemetry does not reach the collector; it waits in the spool",
                    {{"collector", options_.collector_url},
                     {"fault", what},
                     {"waiting_batches", spool_.counters().batches}});
    }
    Millis wait = retry_after ? std::min(*retry_after, kLongestRetryAfter) : jittered_backoff();
    if (flush_done_)
      wait = std::min(wait, kFlushBackoff);  // we are about to leave: politeness gives way
    retry_timer_.arm(std::max(wait, kLeastBackoff));
    failures_in_row_ = std::min(failures_in_row_ + 1, 16);
  }

  [[nodiscard]] Millis jittered_backoff() const {
    const Millis ceiling =
        std::min(Millis(kFirstBackoff.count() << std::min(failures_in_row_, 10)), kLongestBackoff);
    return Millis(
        static_cast<int64_t>(net::random_below(static_cast<uint64_t>(ceiling.count()) + 1)));
  }

  bool may_log(uint64_t& logged_at) {
    const uint64_t now = loop_.now_millis();
    if (logged_at != 0 && now - logged_at < kLogEveryMillis) return false;
    logged_at = std::max<uint64_t>(now, 1);
    return true;
  }

  void end_flush(bool settled) {
    flush_timer_.disarm();
    settled_timer_.disarm();
    auto done = std::move(flush_done_);
    flush_done_ = nullptr;
    if (done) done(settled && spool_.front() == nullptr);
  }

  net::Loop& loop_;
  net::HttpClient& client_;
  ExporterOptions options_;
  Spool spool_;
  std::string identity_;
  uint64_t next_sequence_ = 1;
  std::unique_ptr<net::ClientCall> call_;
  net::Timer retry_timer_, flush_timer_, settled_timer_;
  int failures_in_row_ = 0;
  int server_faults_ = 0;
  std::array<uint64_t, 3> refused_since_{};  // by Signal; milliseconds, 0: its path was taken last
  uint64_t fault_logged_at_ = 0, rejected_logged_at_ = 0;
  std::function<void(bool)> flush_done_;
  ExporterState state_;
};

}  // namespace

std::unique_ptr<Exporter> Exporter::create(net::Loop& loop, net::HttpClient& client,
                                           ExporterOptions options) {
  return std::make_unique<HttpExporter>(loop, client, std::move(options));
}

}  // namespace hms::telemetry
