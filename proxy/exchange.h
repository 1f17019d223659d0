// exchange.h: one request and its reply, from the first byte in to the last byte out.
//
//   * request head: route, split, endpoint; a connection leased or opened; head and body forwarded
//     as they come
//   * reply head: edited, forwarded; the body re-framed as it comes; watermarks pause whichever
//     side is faster
//   * end: measured, the connection given back, the exchange recycled
//
// An attempt that failed before a byte of the reply came may be repeated: on another connection
// when a kept-alive one turned out stale, on another endpoint when connecting failed, and as the
// route's `retries` say. The body kept for that is at most 64 KiB. An exchange lives in the
// worker's free list; a request in the steady state allocates nothing. Thread: the worker's.
#pragma once

#include <memory>
#include <string>

#include "net/http/h1_codec.h"
#include "net/io/tcp.h"
#include "proxy/cluster/host_names.h"
#include "proxy/cluster/view.h"
#include "proxy/gather.h"
#include "proxy/head_edit.h"
#include "proxy/local_reply.h"
#include "proxy/route_path.h"
#include "proxy/router.h"
#include "telemetry/recorder.h"
#include "telemetry/trace_context.h"

namespace hms::proxy {

class DataPath;
class Session;

class Exchange final : public UpstreamUser {
 public:
  static constexpr size_t kReplayBytes = 64 * 1024;
  static constexpr size_t kThrownAwayBytes = 1024 * 1024;

  explicit Exchange(DataPath& data, const net::HttpLimits& limits);
  ~Exchange();

  /// A fresh start for the next request of `session`.
  void begin(Session& session);
  [[nodiscard]] net::H1Codec& request_codec() noexcept { return *request_codec_; }
  /// Codecs that did not end at a message's end are made anew.
  void freshen(const net::HttpLimits& limits);

  // What the session finds in the caller's bytes.
  void on_request_head();
  void on_request_body(std::string_view piece);
  /// The codec still holds the trailers. May end the exchange (then `session.exchange_ended` was
  /// called and this object is recycled).
  void on_request_end();
  /// After the last step of a read: what was gathered goes out.
  void flush_request();
  void on_downstream_writable();
  /// The caller half-closed. With the request complete it may still want the reply.
  void on_downstream_eof();
  /// The caller is gone: the upstream call is cancelled, the exchange measured and recycled without
  /// a word to the session.
  void on_downstream_gone();
  /// The request broke the protocol in its body, or stalled.
  void fail_request(LocalError error, std::string_view detail);

  [[nodiscard]] bool head_seen() const noexcept { return head_seen_; }
  [[nodiscard]] bool request_complete() const noexcept { return request_complete_; }

  size_t index = 0;  // in DataPath::exchanges

 private:
  friend class DataPath;
  struct Timers {
    uint64_t head = 0, chosen = 0, connected = 0,
             reply = 0;  // monotonic nanoseconds; 0: not reached
  };

  // UpstreamUser
  void on_upstream_bytes(std::string_view bytes) override;
  void on_upstream_eof() override;
  void on_upstream_writable() override;
  void on_upstream_closed(const net::Error& error) override;

  void join_trace();
  void choose_route();
  [[nodiscard]] bool caller_allowed(const RouteView* route);
  [[nodiscard]] LocalError refusal_of(const PathReadings& path, RouteQuery query);
  void choose_cluster();
  void start_attempt();
  void resolve_and_connect(std::string_view authority);
  void on_resolved(const HostNames::Answer& found);
  void ask_endpoint();
  bool try_next_address();
  void connect();
  void on_connected(net::Result<std::unique_ptr<net::Stream>> stream);
  void use(std::unique_ptr<UpstreamConnection> connection);
  void emit_head();
  void emit_body(std::string_view piece);
  void emit_tail();
  void throw_away(size_t bytes);
  void pause_caller_if_upstream_full();

  void read_replies(std::string_view& input);
  bool on_reply_head();
  void forward_reply_head();
  void forward_interim_head();
  void learn_keep_alive(const net::MessageHead& head);
  void send_reply_piece(std::string_view piece);
  void on_reply_end(bool nothing_left);
  void release_upstream(bool early);
  void lose_upload();
  void on_reply_fault(LocalError error, std::string_view detail);
  void start_tunnel(std::string_view early);
  void pause_upstream_if_caller_full();

  /// Nothing of the reply came. True if another attempt was started.
  bool retry_after_failure(bool clean_end);
  bool retry_on_status();
  bool may_repeat() const noexcept;
  bool budget_allows();
  bool service_saw_nothing() noexcept;
  void drop_upstream();
  void note_failure();
  void reply_locally(LocalError error, std::string_view detail);
  void finish(bool keep_alive);
  void measure();
  void write_access_log(std::string_view route, uint64_t duration_nanos);
  void recycle();
  void probe_caller();

  DataPath& data_;
  Session* session_ = nullptr;
  View* view_ = nullptr;
  const RouteView* route_ = nullptr;
  Cluster* cluster_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  const Endpoint* first_address_ = nullptr;  // where this attempt began
  InFlight in_flight_;                       // of endpoint_, while an attempt runs
  std::unique_ptr<net::H1Codec> request_codec_, reply_codec_;
  std::unique_ptr<UpstreamConnection> upstream_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<HostNames::Waiter> look_up_;
  net::Timer deadline_;  // the route's timeout
  net::Timer probe_;     // is a caller that half-closed still there?
  telemetry::TraceContext trace_;
  AddedBlock added_;
  std::string replay_;     // body bytes not yet sent, or kept for another attempt
  std::string authority_;  // outbound without a route: where to
  uint64_t start_nanos_ = 0;
  Timers times_;
  uint64_t request_bytes_ = 0, reply_bytes_ = 0;
  uint64_t sent_before_ = 0;  // on this connection, by the exchanges before
  uint64_t thrown_away_ = 0;  // of an upload that nobody wants
  uint32_t attempts_ = 0;
  uint32_t addresses_tried_ = 0;  // in this attempt, after the first one
  uint32_t upstream_name_ = 0;
  uint16_t status_ = 0;
  LocalError error_ = LocalError::none;
  // The request
  bool head_seen_ = false;
  bool request_complete_ = false;
  bool chunked_request_ = false;
  bool caller_minor_0_ = false;
  bool caller_keep_alive_ = true;
  bool is_head_ = false;
  bool wants_tunnel_ = false;
  bool replayable_ = true;    // replay_ holds the whole body so far
  bool head_unsent_ = false;  // a connection is there, the head goes out with the next flush
  bool tail_sent_ = false;    // the end of a chunked body
  bool stale_retried_ = false;
  uint64_t attempt_nanos_ = 0;
  // The reply
  bool reused_ = false;  // the attempt runs on a connection that was used before
  bool upstream_eof_ = false;
  bool upstream_reusable_ = false;  // known at the reply's end
  bool reply_bytes_seen_ = false;
  bool reply_started_ = false;
  bool reply_complete_ = false;
  bool reply_chunked_ = false;
  bool close_after_ = false;  // the reply said so, or its end is the connection's
  bool upstream_paused_ = false;
  bool measured_ = false;
  bool client_gone_ = false;
  bool probed_ = false;
  bool reply_codec_dirty_ = false, request_codec_dirty_ = false;
};

}  // namespace hms::proxy
