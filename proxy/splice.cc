#include "proxy/splice.h"

#include <algorithm>

#include "net/core/clock.h"
#include "net/io/tls_stream.h"
#include "proxy/data_path.h"
#include "proxy/tunnels.h"

namespace hms::proxy {

namespace {
constexpr net::Millis kFlushLook{20};
constexpr uint64_t kFlushMillis = 2'000;  // without progress, as a session that lingers
constexpr uint64_t kFlushDiscard = 1024 * 1024;
}  // namespace

std::string_view tunnel_kind_name(TunnelKind kind) noexcept {
  switch (kind) {
    case TunnelKind::upgrade:
      return "upgrade";
    case TunnelKind::tcp:
      return "tcp";
    case TunnelKind::tls:
      return "tls";
  }
  return "";
}

std::string_view tunnel_end_name(TunnelEnd end) noexcept {
  switch (end) {
    case TunnelEnd::clean:
      return "clean";
    case TunnelEnd::caller_reset:
      return "caller_reset";
    case TunnelEnd::service_reset:
      return "service_reset";
    case TunnelEnd::idle:
      return "idle";
    case TunnelEnd::stalled:
      return "stalled";
    case TunnelEnd::connect_failed:
      return "connect_failed";
    case TunnelEnd::drained:
      return "drained";
    case TunnelEnd::count_:
      break;
  }
  return "";
}

Splice::Splice(Tunnels& tunnels, SpliceStart start)
    : tunnels_(tunnels),
      caller_(std::move(start.caller)),
      service_(std::move(start.service)),
      endpoint_(service_->endpoint()),
      mark_(std::move(start.mark)),
      timer_(tunnels.data().loop(), [this] { on_timer(); }),
      start_nanos_(net::monotonic_nanos()),
      kind_(start.kind),
      direction_(start.direction),
      caller_ended_(start.caller_ended),
      named_(start.kind == TunnelKind::upgrade) {}

Splice::~Splice() = default;

void Splice::start(std::string_view from_caller, std::string_view from_service) {
  if (kind_ != TunnelKind::upgrade) {
    telemetry::NameTable& names = tunnels_.data().recorder().names();
    peer_ = caller_->peer().ip_text();
    peer_id_ = names.intern_peer(peer_);
    if (const net::TlsStream* const tls = caller_->tls(); tls != nullptr) {
      const net::TlsPeer peer = tls->peer_identity();
      if (peer.verified && !peer.name.empty()) peer_identity_id_ = names.intern_peer(peer.name);
    }
  }
  quiet_since_ = tunnels_.data().loop().now_millis();
  caller_->set_handler(this);
  service_->set_user(this);
  timer_.arm(tunnels_.data().config().timeouts.tunnel_idle);
  if (!from_caller.empty()) on_bytes(from_caller);
  if (caller_ended_) service_->stream().shutdown_write();
  on_upstream_bytes(from_service);
}

// === bytes

void Splice::on_bytes(std::string_view bytes) {
  if (flushing_) {
    discarded_ += bytes.size();
    return;
  }
  received_ += bytes.size();
  if (!named_) look_at_first_bytes(bytes);
  tunnels_.data().count.tunnel_bytes_received += bytes.size();
  net::Stream& service = service_->stream();
  service.write(bytes);
  if (caller_paused_ || !service.above_high_watermark()) return;
  caller_paused_ = true;
  caller_->pause_reading();
  ++tunnels_.data().count.pauses_downstream;
  watch_queue();
}

void Splice::on_upstream_bytes(std::string_view bytes) {
  if (flushing_) {
    discarded_ += bytes.size();
    return;
  }
  if (sent_ == 0 && kind_ != TunnelKind::upgrade && !bytes.empty())
    tunnels_.data().learn_port(endpoint_.address,
                               is_http_reply(bytes) ? PortKind::http : PortKind::tcp);
  sent_ += bytes.size();
  tunnels_.data().count.tunnel_bytes_sent += bytes.size();
  caller_->write(bytes);
  if (service_paused_ || !caller_->above_high_watermark()) return;
  service_paused_ = true;
  service_->stream().pause_reading();
  ++tunnels_.data().count.pauses_upstream;
  watch_queue();
}

/// They go on at once; this only finds out what to call the connection.
void Splice::look_at_first_bytes(std::string_view from_caller) {
  hello_.append(from_caller.substr(0, kHelloBytes - std::min(kHelloBytes, hello_.size())));
  const Wire wire = kind_ == TunnelKind::tls ? Wire::tls : classify(hello_);
  if (wire == Wire::tls) {
    const auto name = server_name_of(hello_);
    if (!name && sent_ == 0) return;
    if (kind_ != TunnelKind::tls) tunnels_.now_tls(direction_);
    kind_ = TunnelKind::tls;
    server_name_ = name.value_or(std::string());
  } else if (wire == Wire::undecided && hello_.size() < 2) {
    return;
  }
  named_ = true;
  hello_ = std::string();
}

void Splice::on_writable() {
  if (!service_paused_ || service_ == nullptr) return;
  service_paused_ = false;
  service_->stream().resume_reading();
}

void Splice::on_upstream_writable() {
  if (!caller_paused_ || caller_ == nullptr) return;
  caller_paused_ = false;
  caller_->resume_reading();
}

// === ends

void Splice::on_eof() {
  caller_ended_ = true;
  if (service_ != nullptr) service_->stream().shutdown_write();
}

void Splice::on_upstream_eof() {
  service_ended_ = true;
  if (caller_ != nullptr) caller_->shutdown_write();
}

void Splice::on_closed(const net::Error& error) {
  const bool clean = error.code == net::Code::closed && caller_ended_ && service_ended_;
  drop_caller();
  if (service_ == nullptr || flushing_) return finish(end_);
  flush_rest(!caller_ended_, clean ? TunnelEnd::clean : TunnelEnd::caller_reset);
}

void Splice::on_upstream_closed(const net::Error& error) {
  const bool clean = error.code == net::Code::closed && caller_ended_ && service_ended_;
  drop_service();
  if (caller_ == nullptr || flushing_) return finish(end_);
  flush_rest(!service_ended_, clean ? TunnelEnd::clean : TunnelEnd::service_reset);
}

/// One side is gone. What it had sent belongs to the other one, also if the end was a reset; what
/// the other one still says is nobody's.
void Splice::flush_rest(bool cut, TunnelEnd end) {
  flushing_ = true;
  flush_cuts_ = cut;
  end_ = end;
  if (caller_paused_ && caller_ != nullptr) caller_->resume_reading();
  if (service_paused_ && service_ != nullptr) service_->stream().resume_reading();
  caller_paused_ = service_paused_ = false;
  quiet_since_ = tunnels_.data().loop().now_millis();
  look_at_flush();
}

net::Stream& Splice::remaining() noexcept {
  return caller_ != nullptr ? *caller_ : service_->stream();
}

void Splice::look_at_flush() {
  net::Stream& rest = remaining();
  const uint64_t now = tunnels_.data().loop().now_millis();
  if (rest.bytes_written() != moved_) {
    moved_ = rest.bytes_written();
    quiet_since_ = now;
  }
  const bool flushed = rest.queued_bytes() == 0;
  if (flush_cuts_ && flushed) {
    rest.mark_for_reset();
    return finish(end_);
  }
  // With a FIN behind its bytes: over when it has closed too (on_closed), or does not in time.
  if (now - quiet_since_ >= kFlushMillis || discarded_ > kFlushDiscard) {
    if (!flushed) rest.mark_for_reset();
    return finish(end_);
  }
  timer_.arm(kFlushLook);
}

void Splice::cut(TunnelEnd end) {
  if (caller_ != nullptr) caller_->mark_for_reset();
  if (service_ != nullptr) service_->stream().mark_for_reset();
  finish(end);
}

void Splice::drop_caller() {
  caller_->set_handler(nullptr);
  tunnels_.data().loop().retire(std::move(caller_));
}

void Splice::drop_service() {
  tunnels_.data().pool().discard(std::move(service_));
  --endpoint_.in_flight;
}

void Splice::finish(TunnelEnd end) {
  if (finished_) return;
  finished_ = true;
  timer_.disarm();
  if (caller_ != nullptr) drop_caller();
  if (service_ != nullptr) drop_service();
  if (kind_ != TunnelKind::upgrade) {
    tunnels_.record({kind_, direction_, end, start_nanos_, received_, sent_, peer_, server_name_,
                     peer_id_, peer_identity_id_, endpoint_.name_id, endpoint_.text});
  }
  tunnels_.remove(*this);
}

// === time

void Splice::watch_queue() {
  timer_.arm(std::min(tunnels_.data().config().timeouts.write_stall,
                      tunnels_.data().config().timeouts.tunnel_idle));
}

void Splice::on_timer() {
  if (flushing_) return look_at_flush();
  const Timeouts& timeouts = tunnels_.data().config().timeouts;
  const uint64_t now = tunnels_.data().loop().now_millis();
  const uint64_t written = caller_->bytes_written() + service_->stream().bytes_written();
  const uint64_t moved = received_ + sent_ + written;
  if (moved != moved_) {
    moved_ = moved;
    quiet_since_ = now;
  }
  const bool waiting = caller_->queued_bytes() > 0 || service_->stream().queued_bytes() > 0;
  const uint64_t quiet = now - quiet_since_;
  const auto idle = static_cast<uint64_t>(timeouts.tunnel_idle.count());
  const auto stall = static_cast<uint64_t>(timeouts.write_stall.count());
  if (waiting && quiet >= stall) {
    ++tunnels_.data().count.stalled_readers;
    return cut(TunnelEnd::stalled);
  }
  if (quiet >= idle) return cut(TunnelEnd::idle);
  const uint64_t left = (waiting ? std::min(stall, idle) : idle) - quiet;
  timer_.arm(net::Millis(static_cast<int64_t>(std::max<uint64_t>(left, 1))));
}

}  // namespace hms::proxy
