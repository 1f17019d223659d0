#include "proxy/session.h"

#include "net/core/log.h"
#include "net/io/tls_stream.h"
#include "proxy/data_path.h"
#include "proxy/exchange.h"

namespace hms::proxy {

namespace {
constexpr net::Millis kLinger{2'000};  // after our FIN: for the caller to read the reply and close
constexpr uint64_t kLingerBytes = 1024 * 1024;  // of an upload that nobody wants any more
// A new connection's request came with it (net/io/acceptor.cc). Most are answered before anybody
// has to ask epoll about the connection, and where that was the only request nobody ever has to:
// two system calls less. The price: a caller that leaves at once is noticed so much later.
constexpr net::Millis kUnwatched{10};
constexpr size_t kStashBytes = 64 * 1024;  // pipelined requests that may wait; then reading pauses
static_assert(sizeof(Session) <= 120);     // most of a mesh's sessions are idle
}  // namespace

using net::H1Codec;

Session::Session(DataPath& data, std::unique_ptr<net::Stream> stream,
                 telemetry::Direction direction)
    : Alarm(data.loop().timers()), data_(data), stream_(std::move(stream)), direction_(direction) {}

Session::~Session() = default;

std::string_view Session::peer_identity() {
  const uint32_t id = peer_identity_id();
  return id == 0 ? std::string_view() : data_.recorder().names().name(id);
}

Session::About& Session::about() {
  if (about_ == nullptr) about_ = std::make_unique<About>();
  return *about_;
}

const net::CertificateNames& Session::caller_names() {
  static const net::CertificateNames kNone;
  if (stream_->tls() == nullptr) return kNone;
  std::unique_ptr<net::CertificateNames>& names = about().caller_names;
  if (names == nullptr)
    names = std::make_unique<net::CertificateNames>(net::verified_names(*stream_));
  return *names;
}

void Session::set_destination(const Destination& destination) {
  about().destination = destination;
  teaches_ = destination.teaches;
}

void Session::note_http_reply() {
  teaches_ = false;
  data_.learn_port(about_->destination.address, PortKind::http);
}

void Session::start(std::string_view early) {
  since_millis_ = data_.loop().now_millis();
  stream_->set_handler(this);
  schedule(data_.config().timeouts.header);  // a caller that connects and says nothing
  stream_->resume_reading();
  if (!early.empty()) on_bytes(early);
}

void Session::start_refused(LocalError error, std::string_view detail) {
  stream_->set_handler(this);
  stream_->resume_reading();
  refused_ = true;
  refuse(error, detail);
}

std::string_view Session::peer_ip() {
  const telemetry::NameTable& names = data_.recorder().names();
  if (const uint32_t id = peer_name_id(); id != names.overflow()) return names.name(id);
  return data_.peer_ip = stream_->peer().ip_text();
}

uint32_t Session::peer_name_id() {
  if (peer_name_id_ == 0)
    peer_name_id_ = data_.recorder().names().intern_peer(stream_->peer().ip_text());
  return peer_name_id_;
}

uint32_t Session::peer_identity_id() {
  if (peer_identity_known_) return peer_identity_id_;
  peer_identity_known_ = true;
  if (const net::TlsStream* const tls = stream_->tls(); tls != nullptr) {
    const net::TlsPeer peer = tls->peer_identity();
    if (peer.verified && !peer.name.empty())
      peer_identity_id_ = data_.recorder().names().intern_peer(peer.name);
  }
  return peer_identity_id_;
}

void Session::pause(Pause reason) {
  if (pauses_ == 0) stream_->pause_reading();
  pauses_ = static_cast<uint8_t>(pauses_ | reason);
}

void Session::resume(Pause reason) {
  if ((pauses_ & reason) == 0) return;
  pauses_ = static_cast<uint8_t>(pauses_ & ~reason);
  if (pauses_ != 0) return;
  stream_->resume_reading();
  // The time in which we did not read is ours.
  if (exchange_ != nullptr && exchange_->head_seen() && !exchange_->request_complete())
    expect_body();
}

// === bytes

void Session::on_bytes(std::string_view bytes) {
  if (closing_) {
    if (stream_->bytes_read() - progress().read > kLingerBytes) finish();
    return;
  }
  if (stash_ == nullptr) {
    process(bytes);
    if (!finished_ && !closing_ && !bytes.empty()) stash_ = std::make_unique<std::string>(bytes);
  } else {
    stash_->append(bytes);
    process_stash();
  }
  if (finished_) return;
  if (stash_ != nullptr && stash_->size() > kStashBytes) pause(pipelined);
  if (fresh_) after_first_read();
}

void Session::after_first_read() {
  fresh_ = false;
  if (exchange_ == nullptr || !exchange_->request_complete() || stash_ != nullptr) return;
  if (stream_->tls() != nullptr) return;  // has been read from for its handshake
  pause(unwatched);
  schedule(kUnwatched);
}

void Session::process_stash() {
  std::string_view input = *stash_;
  process(input);
  if (finished_ || closing_) return;
  if (input.empty())
    stash_ = nullptr;
  else
    stash_->erase(0, stash_->size() - input.size());
  if (stash_ == nullptr || stash_->size() <= kStashBytes) resume(pipelined);
  if (peer_eof_ && stash_ == nullptr) take_end();
}

void Session::process(std::string_view& input) {
  processing_ = true;
  while (!finished_ && !closing_) {
    if (exchange_ == nullptr) {
      if (input.empty() || stream_->above_high_watermark())
        break;  // replies are waiting for a slow reader
      exchange_ = data_.take_exchange(*this);
      if (exchange_ == nullptr) {
        refuse(LocalError::overloaded, "requests");
        break;
      }
      since_millis_ = data_.loop().now_millis();
    }
    if (exchange_->request_complete()) break;  // what follows is the next request: its turn comes
    H1Codec& codec = exchange_->request_codec();
    const H1Codec::Step step = codec.next(input);
    if (step == H1Codec::Step::need_more) {
      if (exchange_->head_seen())
        expect_body();
      else
        schedule(data_.config().timeouts.header);
      break;
    }
    switch (step) {
      case H1Codec::Step::head:
        exchange_->on_request_head();
        break;
      case H1Codec::Step::body:
        exchange_->on_request_body(codec.body());
        break;
      case H1Codec::Step::trailers:
        break;  // the codec keeps them until the end
      case H1Codec::Step::end:
      case H1Codec::Step::upgrade:
        exchange_->on_request_end();
        break;
      case H1Codec::Step::failed: {
        const net::HttpFault fault = codec.fault();
        exchange_->fail_request(local_error_of_status(fault.status), fault.site);
        break;
      }
      case H1Codec::Step::need_more:
        break;
    }
  }
  if (exchange_ != nullptr && !finished_) exchange_->flush_request();
  processing_ = false;
}

std::string Session::take_stash() {
  std::string taken = stash_ != nullptr ? std::move(*stash_) : std::string();
  stash_ = nullptr;
  resume(pipelined);
  return taken;
}

void Session::on_eof() {
  peer_eof_ = true;
  if (closing_) return;  // on_closed follows once our own FIN is out
  take_end();
}

/// The caller sends no more than what was looked at.
void Session::take_end() {
  if (exchange_ == nullptr) {
    if (stash_ == nullptr) close_gracefully();
    return;
  }
  if (exchange_->request_complete()) {
    exchange_->on_downstream_eof();
    return;
  }
  if (!exchange_->head_seen() && !exchange_->request_codec().at_message_start()) {
    exchange_->fail_request(LocalError::bad_request, "message_cut");
    return;
  }
  Exchange* ended = exchange_;
  exchange_ = nullptr;
  if (ended->head_seen()) ++data_.count.requests_cut;
  ended->on_downstream_gone();
  close_gracefully();
}

void Session::on_writable() {
  if (closing_) return;
  if (exchange_ != nullptr)
    exchange_->on_downstream_writable();
  else if (stash_ != nullptr)
    process_stash();
}

void Session::on_closed(const net::Error& error) {
  if (error.code == net::Code::tls) data_.note_tls_failure(error);
  if (exchange_ != nullptr) {
    Exchange* ended = exchange_;
    exchange_ = nullptr;
    ended->on_downstream_gone();
  }
  finish();
}

// === endings

void Session::exchange_ended(bool keep_alive, bool caller_closes) {
  exchange_ = nullptr;
  since_millis_ = data_.loop().now_millis();
  resume(connecting);
  resume(upstream_slow);
  if (!keep_alive && caller_closes && stream_->queued_bytes() == 0) return finish();
  resume(unwatched);
  if (!keep_alive || (peer_eof_ && stash_ == nullptr)) {
    close_gracefully();
    return;
  }
  schedule(data_.config().timeouts.idle);
  if (!processing_ && stash_ != nullptr) process_stash();
}

void Session::refuse(LocalError error, std::string_view detail) {
  ++data_.count.local_replies[static_cast<size_t>(error)];
  stream_->write(format_local_reply({.error = error, .detail = detail}));
  close_gracefully();
}

void Session::close_gracefully() {
  if (closing_ || finished_) return;
  closing_ = true;
  since_millis_ = data_.loop().now_millis();
  progress() = {.read = stream_->bytes_read(),
                .written = stream_->bytes_written(),
                .write_moved_millis = since_millis_};
  stash_ = nullptr;
  stream_->shutdown_write();
  if (pauses_ != 0) {
    pauses_ = 0;
    stream_->resume_reading();
  }
  disarm();  // later than what it was armed for
  schedule(kLinger);
}

std::unique_ptr<net::Stream> Session::give_up_stream() {
  exchange_ = nullptr;
  if (pauses_ != 0) stream_->resume_reading();
  pauses_ = 0;
  disarm();
  finished_ = true;
  std::unique_ptr<net::Stream> stream = std::move(stream_);
  data_.remove(*this);
  return stream;
}

void Session::abort() {
  exchange_ = nullptr;
  stream_->mark_for_reset();
  finish();
}

bool Session::cut() {
  const bool running = exchange_ != nullptr && exchange_->head_seen();
  if (exchange_ != nullptr) {
    Exchange* ended = exchange_;
    exchange_ = nullptr;
    ended->on_downstream_gone();
    stream_->mark_for_reset();
  }
  finish();
  return running;
}

void Session::finish() {
  if (finished_) return;
  finished_ = true;
  disarm();
  stream_->set_handler(nullptr);
  data_.remove(*this);
}

// === time

Session::Progress& Session::progress() {
  if (progress_ == nullptr) progress_ = std::make_unique<Progress>();
  return *progress_;
}

void Session::expect_reader() {
  if (progress().write_moved_millis == 0) progress().write_moved_millis = data_.loop().now_millis();
  schedule(data_.config().timeouts.write_stall);
}

void Session::expect_body() {
  if (closing_) return;
  since_millis_ = data_.loop().now_millis();
  schedule(data_.config().timeouts.body_stall);
}

void Session::schedule(net::Millis within) {
  const uint64_t due = data_.loop().now_millis() + static_cast<uint64_t>(within.count());
  if (armed() && due_millis() <= due) return;  // it looks again when it fires
  arm(within);
}

void Session::on_alarm() {
  if (finished_) return;
  resume(unwatched);
  const Timeouts& timeouts = data_.config().timeouts;
  const uint64_t now = data_.loop().now_millis();
  const uint64_t written = stream_->bytes_written();
  const uint64_t read = stream_->bytes_read();
  const auto due_after = [this](net::Millis time) {
    return since_millis_ + static_cast<uint64_t>(time.count());
  };
  const auto wait_until = [this, now](uint64_t due) {
    schedule(net::Millis(static_cast<int64_t>(due - now)));
  };

  const bool write_open = stream_->queued_bytes() > 0;
  const bool idle = exchange_ == nullptr && !closing_;
  if (idle && !write_open) {
    const uint64_t due = due_after(read == 0 ? timeouts.header : timeouts.idle);
    return now >= due ? close_gracefully() : wait_until(due);
  }
  Progress& last = progress();
  if (written != last.written || !write_open) {
    last.written = written;
    last.write_moved_millis = write_open ? now : 0;
  }
  const auto stall_due = [](uint64_t moved, net::Millis allowed) {
    return moved + static_cast<uint64_t>(allowed.count());
  };
  const bool reader_stalled =
      write_open && now >= stall_due(last.write_moved_millis, timeouts.write_stall);
  if (closing_) {
    if (write_open && !reader_stalled) {
      since_millis_ = now;  // lingering begins when all is sent
      return schedule(kLinger);
    }
    if (write_open) stream_->mark_for_reset();
    const uint64_t due = due_after(kLinger);
    return write_open || now >= due ? finish() : wait_until(due);
  }
  if (exchange_ == nullptr) {
    const uint64_t due = due_after(read == 0 ? timeouts.header : timeouts.idle);
    return now >= due ? close_gracefully() : wait_until(due);
  }
  if (!exchange_->head_seen()) {
    const uint64_t due = due_after(timeouts.header);
    if (now < due) return wait_until(due);
    if (!exchange_->request_codec().at_message_start())
      return exchange_->fail_request(LocalError::request_timeout, "head");
    Exchange* empty = exchange_;
    exchange_ = nullptr;
    empty->on_downstream_gone();
    return close_gracefully();
  }
  const bool body_open = !exchange_->request_complete() && pauses_ == 0;
  const uint64_t body_due = due_after(timeouts.body_stall);
  if (reader_stalled) {
    ++data_.count.stalled_readers;
    Exchange* stalled = exchange_;
    exchange_ = nullptr;
    stalled->on_downstream_gone();
    return abort();
  }
  if (body_open && now >= body_due) {
    ++data_.count.stalled_bodies;
    return exchange_->fail_request(LocalError::request_timeout, "body");
  }
  if (body_open) wait_until(body_due);
  if (write_open) wait_until(stall_due(last.write_moved_millis, timeouts.write_stall));
}

}  // namespace hms::proxy
