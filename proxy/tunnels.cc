#include "proxy/tunnels.h"

#include "net/core/clock.h"
#include "proxy/access_log.h"
#include "proxy/data_path.h"
#include "telemetry/trace_context.h"

namespace hms::proxy {

namespace {

template <class T>
std::unique_ptr<T> take_out(std::vector<std::unique_ptr<T>>& list, size_t index) {
  auto gone = std::move(list[index]);
  if (index + 1 != list.size()) {
    list[index] = std::move(list.back());
    list[index]->index = index;
  }
  list.pop_back();
  return gone;
}

telemetry::ErrorType error_type_of(TunnelEnd end) noexcept {
  using telemetry::ErrorType;
  switch (end) {
    case TunnelEnd::clean:
      return ErrorType::none;
    case TunnelEnd::caller_reset:
      return ErrorType::client_disconnect;
    case TunnelEnd::service_reset:
      return ErrorType::reset;
    case TunnelEnd::idle:
    case TunnelEnd::stalled:
      return ErrorType::timeout;
    case TunnelEnd::connect_failed:
      return ErrorType::connect_failed;
    case TunnelEnd::drained:
    case TunnelEnd::count_:
      break;
  }
  return ErrorType::other;
}

}  // namespace

Tunnels::Tunnels(DataPath& data) : data_(data) {}
Tunnels::~Tunnels() = default;

void Tunnels::detect(Opening::Start start) {
  ++data_.count.connections_open[static_cast<size_t>(start.direction)];
  openings_.push_back(std::make_unique<Opening>(*this, std::move(start)));
  openings_.back()->index = openings_.size() - 1;
  openings_.back()->start();
}

void Tunnels::splice(SpliceStart start, std::string_view from_caller,
                     std::string_view from_service) {
  const auto direction = static_cast<size_t>(start.direction);
  if (start.kind == TunnelKind::upgrade) {
    ++data_.count.tunnels;
    ++data_.count.tunnels_open;
  } else {
    ++data_.count.tcp_opened[direction][start.kind == TunnelKind::tls ? 1 : 0];
    ++data_.count.tcp_open[direction];
  }
  ++data_.count.connections_open[direction];
  splices_.push_back(std::make_unique<Splice>(*this, std::move(start)));
  splices_.back()->index = splices_.size() - 1;
  splices_.back()->start(from_caller, from_service);
}

void Tunnels::close_silent(uint64_t quiet_millis) {
  const uint64_t now = data_.loop().now_millis();
  for (size_t i = openings_.size(); i-- > 0;) {  // the last one takes the place of one that goes
    Opening& opening = *openings_[i];
    if (opening.silent() && now - opening.opened_millis() >= quiet_millis) opening.close();
  }
}

size_t Tunnels::cut_all() {
  const size_t count = splices_.size();
  while (!splices_.empty()) splices_.back()->cut(TunnelEnd::drained);
  while (!openings_.empty()) openings_.back()->cut(TunnelEnd::drained);
  return count;
}

void Tunnels::remove(Splice& splice) {
  const auto direction = static_cast<size_t>(splice.direction());
  --data_.count.connections_open[direction];
  --(splice.kind() == TunnelKind::upgrade ? data_.count.tunnels_open
                                          : data_.count.tcp_open[direction]);
  data_.loop().retire(take_out(splices_, splice.index));
}

void Tunnels::remove(Opening& opening) {
  --data_.count.connections_open[static_cast<size_t>(opening.direction())];
  data_.loop().retire(take_out(openings_, opening.index));
}

void Tunnels::now_tls(telemetry::Direction direction) {
  auto& opened = data_.count.tcp_opened[static_cast<size_t>(direction)];
  --opened[0];
  ++opened[1];
}

void Tunnels::note_unconnected(net::Stream& caller, telemetry::Direction direction,
                               const Endpoint& endpoint) {
  TunnelRecord failed;
  failed.direction = direction;
  failed.end = TunnelEnd::connect_failed;
  failed.start_nanos = net::monotonic_nanos();
  const std::string peer = caller.peer().ip_text();
  failed.peer = peer;
  failed.peer_id = data_.recorder().names().intern_peer(peer);
  failed.endpoint = endpoint.text;
  failed.endpoint_id = endpoint.name_id;
  record(failed);
}

void Tunnels::record(const TunnelRecord& record) {
  ++data_.count.tcp_ends[static_cast<size_t>(record.end)];
  const uint64_t start = record.start_nanos + data_.unix_offset_nanos;
  const uint64_t duration = net::monotonic_nanos() - record.start_nanos;
  const bool inbound = record.direction == telemetry::Direction::inbound;
  const telemetry::TraceContext trace = telemetry::read_trace_context({});
  if (data_.config().telemetry) {
    telemetry::SpanRecord span;
    span.trace_id = trace.trace_id;
    span.span_id = trace.span_id;
    span.start_unix_nanos = start;
    span.duration_nanos = duration;
    span.transport =
        record.kind == TunnelKind::tls ? telemetry::Transport::tls : telemetry::Transport::tcp;
    span.key.direction = record.direction;
    span.key.error_type = error_type_of(record.end);
    span.request_bytes = record.received;
    span.response_bytes = record.sent;
    span.peer = inbound ? record.peer_id : record.endpoint_id;
    span.peer_identity = record.peer_identity_id;
    data_.recorder().add_span(span, {}, record.server_name);
  }
  if (!data_.config().access_log) return;
  AccessEntry entry;
  entry.outbound = !inbound;
  entry.start_unix_nanos = start;
  entry.duration_nanos = duration;
  entry.method = record.kind == TunnelKind::tls ? "TLS" : "TCP";
  entry.host = record.server_name;
  entry.x_trace = trace.x_trace();
  entry.peer = record.peer;
  entry.endpoint = record.endpoint;
  entry.flags = record.end == TunnelEnd::caller_reset     ? "DC"
                : record.end == TunnelEnd::connect_failed ? "UF"
                                                          : "-";
  entry.error = tunnel_end_name(record.end);
  entry.attempts = 1;
  entry.request_bytes = record.received;
  entry.reply_bytes = record.sent;
  write_access_line(entry, data_.access_line);
}

}  // namespace hms::proxy
