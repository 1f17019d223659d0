// session.h: one connection from a caller: finds its requests in the bytes, one exchange at a time,
// and ends it properly.
//
// Requests are answered in the order in which they came; what is pipelined waits here. An idle
// session holds no buffer, no codec and no exchange. One timer: it is armed for the earliest of
// what may end the connection (head, body, idle, a reader that does not read) and looks again when
// it fires, so a request in the steady state never touches it. Closing after a reply: FIN, then
// what still comes is thrown away (at most 1 MiB, 2 s), so that no reset overtakes the reply.
// Thread: the worker's. Owner: DataPath.
#pragma once

#include <memory>
#include <string>

#include "net/io/stream.h"
#include "net/io/timer_wheel.h"
#include "net/io/tls_names.h"
#include "proxy/destination.h"
#include "proxy/local_reply.h"
#include "telemetry/recorder.h"

namespace hms::proxy {

class DataPath;
class Exchange;

class Session final : public net::StreamHandler, private net::Alarm {
 public:
  Session(DataPath& data, std::unique_ptr<net::Stream> stream, telemetry::Direction direction);
  ~Session() override;

  /// `early`: what was read from the stream before.
  void start(std::string_view early = {});
  void set_destination(const Destination& destination);
  /// Where an intercepted caller was going, if that is not the app; else null.
  [[nodiscard]] const net::SocketAddress* redirected_from() const noexcept {
    return about_ != nullptr && about_->destination.redirected ? &about_->destination.address
                                                               : nullptr;
  }
  [[nodiscard]] bool teaches() const noexcept { return teaches_; }
  /// The service answered in HTTP.
  void note_http_reply();
  /// Says no, and reads what comes until the caller has seen it.
  void start_refused(LocalError error, std::string_view detail);
  [[nodiscard]] net::Stream& stream() noexcept { return *stream_; }
  [[nodiscard]] telemetry::Direction direction() const noexcept { return direction_; }
  /// Valid until another session is asked.
  [[nodiscard]] std::string_view peer_ip();
  [[nodiscard]] uint32_t peer_name_id();
  /// With mutual TLS, the verified SPIFFE URI or DNS name of the caller, interned; else 0.
  [[nodiscard]] uint32_t peer_identity_id();
  [[nodiscard]] std::string_view peer_identity();
  /// Of the caller's verified certificate; without one, none.
  [[nodiscard]] const net::CertificateNames& caller_names();
  [[nodiscard]] bool peer_sent_eof() const noexcept { return peer_eof_; }
  /// The caller sent FIN, and no further request lies here.
  [[nodiscard]] bool asks_no_more() const noexcept { return peer_eof_ && stash_ == nullptr; }

  enum Pause : uint8_t { upstream_slow = 1, connecting = 2, pipelined = 4, unwatched = 8 };
  void pause(Pause reason);
  void resume(Pause reason);

  /// The exchange is over and has been recycled. `keep_alive`: the next request may come.
  /// `caller_closes`: the caller asked for the end and sends nothing more, so there is nothing to
  /// linger for.
  void exchange_ended(bool keep_alive, bool caller_closes = false);
  /// The reply was cut: the caller must see that (RST), and this session ends.
  void abort();
  /// A tunnel begins: bytes that came before the answer, and then the connection itself. The
  /// session is over.
  [[nodiscard]] std::string take_stash();
  [[nodiscard]] std::unique_ptr<net::Stream> give_up_stream();
  void schedule(net::Millis within);
  /// Bytes wait for the caller to read them: it has `timeouts.write_stall` for each step.
  void expect_reader();
  /// More of the request's body is to come: it has `timeouts.body_stall` for each step.
  void expect_body();
  /// Inside a read: what an exchange wants to send to the service waits for the rest of the read.
  [[nodiscard]] bool processing() const noexcept { return processing_; }
  [[nodiscard]] bool refused() const noexcept { return refused_; }
  [[nodiscard]] bool idle() const noexcept { return exchange_ == nullptr && !closing_; }
  [[nodiscard]] uint64_t idle_since() const noexcept { return since_millis_; }
  /// Cuts everything at once; true if a request was running.
  bool cut();
  /// Ends an idle session with FIN.
  void close_gracefully();

 private:
  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_writable() override;
  void on_closed(const net::Error& error) override;

  void process(std::string_view& input);
  void process_stash();
  void take_end();
  void after_first_read();
  void on_alarm() override;
  // When something is due by the keys of `timeouts`, in the loop's milliseconds; kNever: it does
  // not apply. `linger` has no key.
  [[nodiscard]] uint64_t header_due() const;
  [[nodiscard]] uint64_t body_stall_due() const;
  [[nodiscard]] uint64_t write_stall_due() const;
  [[nodiscard]] uint64_t idle_due() const;
  [[nodiscard]] uint64_t linger_due() const;
  [[nodiscard]] bool has_come(uint64_t due) const;
  void look_again(uint64_t due);
  /// Bytes wait for the caller to read them.
  [[nodiscard]] bool reader_owes() const;
  void look_at_reader();
  void on_header_timeout();
  void on_write_stall();
  void on_body_stall();
  void go_on_lingering();
  [[nodiscard]] Exchange& end_exchange();
  void refuse(LocalError error, std::string_view detail);
  void finish();

  DataPath& data_;
  std::unique_ptr<net::Stream> stream_;
  Exchange* exchange_ = nullptr;
  /// What few sessions have, and an idle one should not be larger for.
  struct About {
    Destination destination{};
    std::unique_ptr<net::CertificateNames> caller_names{};  // null: nobody asked yet
  };
  [[nodiscard]] About& about();
  std::unique_ptr<About> about_;
  std::unique_ptr<std::string> stash_;  // bytes of further requests; null: none
  // When it fell idle, when the head began, when something of the body last came, or when closing
  // began.
  uint64_t since_millis_ = 0;
  /// What the timer saw move. Nothing of an idle session does: it has none before the first look.
  struct Progress {
    uint64_t read = 0;     // bytes, when closing began
    uint64_t written = 0;  // bytes, at the timer's last look
    // When a look last saw them change; 0 while nothing waits to be written. A reader that stalls
    // is told after one to two of its times.
    uint64_t write_moved_millis = 0;
  };
  [[nodiscard]] Progress& progress();
  std::unique_ptr<Progress> progress_;

 public:
  uint32_t index = 0;  // in DataPath::sessions; here because an idle session is small

 private:
  uint32_t peer_name_id_ = 0;
  uint32_t peer_identity_id_ = 0;
  telemetry::Direction direction_;
  uint8_t pauses_ = 0;
  bool peer_identity_known_ : 1 = false;
  bool fresh_ : 1 = true;  // until its first bytes are read
  bool teaches_ : 1 = false;
  bool refused_ : 1 = false;
  bool peer_eof_ : 1 = false;
  bool closing_ : 1 = false;
  bool finished_ : 1 = false;
  bool processing_ : 1 = false;
};

}  // namespace hms::proxy
