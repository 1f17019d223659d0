// The end of an exchange whose reply was a 101: both connections go to a tunnel.
#include "proxy/data_path.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

namespace hms::proxy {

void Exchange::start_tunnel(std::string_view early) {
  data_.reply_out.flush(session_->stream());
  measure();
  Session& session = *session_;
  SpliceStart start{TunnelKind::upgrade, session.direction(), nullptr, std::move(upstream_),
                    session.peer_sent_eof()};
  const std::string stash = session.take_stash();
  in_flight_.hand_over();  // the tunnel counts on its endpoint from here
  recycle();
  start.caller = session.give_up_stream();
  data_.tunnels().splice(std::move(start), stash, early);
}

}  // namespace hms::proxy
