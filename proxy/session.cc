#include "proxy/session.h"

#include <algorithm>
#include <utility>

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
constexpr uint64_t kNever = UINT64_MAX;

uint64_t millis(net::Millis time) { return static_cast<uint64_t>(time.count()); }
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
  if (exchange_->head_seen()) ++data_.count.requests_cut;
  end_exchange().on_downstream_gone();
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
  if (exchange_ != nullptr) end_exchange().on_downstream_gone();
  finish();
}

// === endings

/// What an exchange does as its session leaves it must not come back here.
Exchange& Session::end_exchange() { return *std::exchange(exchange_, nullptr); }

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
    end_exchange().on_downstream_gone();
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

// --- what is due next?

uint64_t Session::header_due() const {
  return since_millis_ + millis(data_.config().timeouts.header);
}

uint64_t Session::body_stall_due() const {
  if (exchange_->request_complete() || pauses_ != 0) return kNever;
  return since_millis_ + millis(data_.config().timeouts.body_stall);
}

uint64_t Session::write_stall_due() const {
  if (!reader_owes()) return kNever;
  return progress_->write_moved_millis + millis(data_.config().timeouts.write_stall);
}

/// A caller that connected and said nothing has as long as for a head.
uint64_t Session::idle_due() const {
  if (stream_->bytes_read() == 0) return header_due();
  return since_millis_ + millis(data_.config().timeouts.idle);
}

uint64_t Session::linger_due() const { return since_millis_ + millis(kLinger); }

// --- has it come?

bool Session::has_come(uint64_t due) const { return data_.loop().now_millis() >= due; }

void Session::look_again(uint64_t due) {
  if (due == kNever) return;
  schedule(net::Millis(static_cast<int64_t>(due - data_.loop().now_millis())));
}

bool Session::reader_owes() const { return stream_->queued_bytes() > 0; }

void Session::look_at_reader() {
  Progress& last = progress();
  const uint64_t written = stream_->bytes_written();
  if (written == last.written && last.write_moved_millis != 0 && reader_owes()) return;
  last.written = written;
  last.write_moved_millis = reader_owes() ? data_.loop().now_millis() : 0;
}

void Session::on_alarm() {
  if (finished_) return;
  resume(unwatched);
  if (!idle() || reader_owes()) look_at_reader();  // the others need no Progress
  if (closing_) return go_on_lingering();
  if (exchange_ == nullptr)
    return has_come(idle_due()) ? close_gracefully() : look_again(idle_due());
  if (!exchange_->head_seen())
    return has_come(header_due()) ? on_header_timeout() : look_again(header_due());
  if (has_come(write_stall_due())) return on_write_stall();
  if (has_come(body_stall_due())) return on_body_stall();
  look_again(std::min(write_stall_due(), body_stall_due()));
}

void Session::on_header_timeout() {
  if (!exchange_->request_codec().at_message_start())
    return exchange_->fail_request(LocalError::request_timeout, "head");
  end_exchange().on_downstream_gone();
  close_gracefully();
}

void Session::on_write_stall() {
  ++data_.count.stalled_readers;
  end_exchange().on_downstream_gone();
  abort();
}

void Session::on_body_stall() {
  ++data_.count.stalled_bodies;
  exchange_->fail_request(LocalError::request_timeout, "body");
}

/// It begins when all is sent, for which the caller has write_stall.
void Session::go_on_lingering() {
  if (!reader_owes()) return has_come(linger_due()) ? finish() : look_again(linger_due());
  if (has_come(write_stall_due())) {
    stream_->mark_for_reset();
    return finish();
  }
  since_millis_ = data_.loop().now_millis();
  schedule(kLinger);
}

}  // namespace hms::proxy
