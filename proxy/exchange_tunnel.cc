// What an exchange becomes after a 101: bytes both ways until both sides have ended.
#include "proxy/exchange.h"

#include "proxy/data_path.h"
#include "proxy/session.h"

namespace hms::proxy {

void Exchange::on_tunnel_bytes(std::string_view bytes) {
  request_bytes_ += bytes.size();
  if (upstream_ == nullptr) return;
  upstream_->stream().write(bytes);
  pause_caller_if_upstream_full();
}

void Exchange::start_tunnel(std::string_view early) {
  data_.reply_out.add(early);
  data_.reply_out.flush(session_->stream());
  tunnel_ = true;
  ++data_.count.tunnels;
  ++data_.count.tunnels_open;
  deadline_.disarm();
  measure();
  const std::string stash = session_->take_stash();
  if (!stash.empty()) on_tunnel_bytes(stash);
  if (session_->peer_sent_eof()) on_downstream_eof();
  pause_upstream_if_caller_full();
}

void Exchange::finish_tunnel() {
  --data_.count.tunnels_open;
  if (upstream_) {
    if (!(tunnel_caller_ended_ && tunnel_upstream_ended_)) upstream_->stream().mark_for_reset();
    data_.pool().discard(std::move(upstream_));
    --endpoint_->in_flight;
  }
  recycle();
}

}  // namespace hms::proxy
