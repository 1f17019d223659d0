// What is told of an exchange: histogram, span, access log line.
#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "net/http/url.h"
#include "proxy/access_log.h"
#include "proxy/data_path.h"
#include "proxy/router.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::KnownHeader;
using net::MessageHead;
using telemetry::Direction;

void Exchange::measure() {
  if (head_seen() && data_.traces != nullptr && session_->direction() == Direction::inbound) {
    data_.traces->end(trace_.trace_id);
  }
  const Config& config = view_->snapshot->config;
  if (!config.telemetry && !config.access_log) return;
  if (!head_seen()) {
    if (config.access_log) write_access_log({}, net::monotonic_nanos() - times_.start);
    return;
  }
  const uint64_t duration = net::monotonic_nanos() - times_.start;
  const MessageHead& head = request_codec_->head();
  const Direction direction = session_->direction();
  const std::string_view path = net::target_path(head.target);
  const LocalErrorEntry& entry = local_error(outcome_.error);
  telemetry::SeriesKey key;
  if (route_ != nullptr && route_->name_id != 0) {
    key.route = route_->name_id;
  } else {
    const bool may_learn = outcome_.status != 404 && entry.type != telemetry::ErrorType::protocol;
    key.route = data_.learner().route(
        direction == Direction::outbound ? host_of(head) : std::string_view{}, path, may_learn);
  }
  key.upstream = static_cast<uint16_t>(outcome_.upstream);
  key.status = outcome_.status;
  key.method = telemetry::method_of(head.method);
  key.direction = direction;
  key.tls = direction == Direction::inbound ? session_->stream().tls() != nullptr
                                            : endpoint_ != nullptr && endpoint_->tls != nullptr;
  key.error_type = outcome_.caller_left ? telemetry::ErrorType::client_disconnect : entry.type;
  if (config.telemetry) {
    telemetry::Recorder& recorder = data_.recorder();
    recorder.add(key, duration);
    telemetry::SpanRecord span;
    span.trace_id = trace_.trace_id;
    span.span_id = trace_.span_id;
    span.parent_span_id = trace_.parent_span_id;
    span.start_unix_nanos = times_.start + data_.unix_offset_nanos;
    span.duration_nanos = duration;
    span.key = key;
    span.request_bytes = request_.bytes;
    span.response_bytes = reply_.bytes;
    span.peer_identity = session_->peer_identity_id();
    if (direction == Direction::inbound)
      span.peer = session_->peer_name_id();
    else if (endpoint_ != nullptr)
      span.peer = endpoint_->name_id;
    const bool literal =
        trace_.x_trace_text.empty() || telemetry::is_literal_trace_text(trace_.x_trace_text);
    recorder.add_span(span, literal ? std::string_view{} : trace_.x_trace_text, path);
  }
  if (config.access_log) write_access_log(data_.recorder().names().name(key.route), duration);
}

void Exchange::write_access_log(std::string_view route, uint64_t duration_nanos) {
  AccessEntry entry;
  entry.outbound = session_->direction() == Direction::outbound;
  entry.start_unix_nanos = times_.start + data_.unix_offset_nanos;
  entry.duration_nanos = duration_nanos;
  if (head_seen()) {
    const MessageHead& head = request_codec_->head();
    entry.method = head.method;
    entry.target = head.target;
    entry.host = head.get(KnownHeader::host);
    entry.x_trace = trace_.x_trace();
    entry.user_agent = head.get(KnownHeader::user_agent);
  }
  entry.route = route;
  entry.peer = session_->peer_ip();
  if (endpoint_ != nullptr) entry.endpoint = endpoint_->text;
  if (outcome_.upstream != 0) entry.upstream = data_.recorder().names().name(outcome_.upstream);
  entry.status = outcome_.status;
  entry.flags = outcome_.caller_left ? std::string_view("DC") : local_error(outcome_.error).flag;
  entry.error = local_error(outcome_.error).name;
  entry.attempts = attempt_.number;
  entry.request_bytes = request_.bytes;
  entry.reply_bytes = reply_.bytes;
  const auto between = [](uint64_t from, uint64_t to) {
    return from != 0 && to >= from ? static_cast<int64_t>(to - from) : int64_t{-1};
  };
  entry.head_nanos = between(times_.start, times_.head);
  entry.wait_nanos = between(times_.head, times_.chosen);
  entry.connect_nanos = between(times_.chosen, times_.connected);
  entry.reply_nanos = between(times_.connected, times_.reply);
  write_access_line(entry, data_.access_line);
}

}  // namespace hms::proxy
