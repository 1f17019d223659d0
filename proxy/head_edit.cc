#include "proxy/head_edit.h"

#include <charconv>

#include "net/core/random.h"
#include "net/http/characters.h"
#include "net/http/url.h"

namespace hms::proxy {

using net::HeaderField;
using net::KnownHeader;
using net::MessageHead;

namespace {

constexpr uint64_t bit(KnownHeader known) noexcept { return 1ULL << static_cast<unsigned>(known); }

constexpr uint64_t kHopByHop = bit(KnownHeader::connection) | bit(KnownHeader::keep_alive) |
                               bit(KnownHeader::proxy_connection) | bit(KnownHeader::te) |
                               bit(KnownHeader::transfer_encoding) | bit(KnownHeader::upgrade) |
                               bit(KnownHeader::http2_settings);
constexpr uint64_t kB3 = bit(KnownHeader::b3) | bit(KnownHeader::x_b3_traceid) |
                         bit(KnownHeader::x_b3_spanid) | bit(KnownHeader::x_b3_parentspanid) |
                         bit(KnownHeader::x_b3_sampled) | bit(KnownHeader::x_b3_flags);
constexpr uint64_t kForwarded = bit(KnownHeader::x_forwarded_for) |
                                bit(KnownHeader::x_forwarded_proto) |
                                bit(KnownHeader::x_forwarded_host) | bit(KnownHeader::forwarded);
// What `Connection` may never take out of a message: without them the next reader sees another
// message.
constexpr uint64_t kNeverNominated =
    bit(KnownHeader::host) | bit(KnownHeader::content_length) |
    bit(KnownHeader::transfer_encoding) | bit(KnownHeader::trailer) | bit(KnownHeader::via) |
    bit(KnownHeader::expect) | bit(KnownHeader::authorization) | bit(KnownHeader::cookie) |
    bit(KnownHeader::content_type) | bit(KnownHeader::content_encoding) |
    bit(KnownHeader::x_request_id) | bit(KnownHeader::idempotency_key) | kForwarded;

/// Calls `take(token)` for each token of a comma-separated list until it returns true.
template <class Take>
bool any_token(std::string_view list, Take&& take) {
  bool taken = false;
  net::for_each_member(list, [&](std::string_view token) {
    taken = take(token);
    return !taken;
  });
  return taken;
}

template <class Take>
bool any_connection_token(const MessageHead& head, Take&& take) {
  if (!head.has(KnownHeader::connection)) return false;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    const HeaderField& field = head.fields[i];
    if (field.known == KnownHeader::connection && any_token(head.value(field), take)) return true;
  }
  return false;
}

/// Does `Connection` name more than the usual three words?
bool nominates_fields(const MessageHead& head) noexcept {
  return any_connection_token(head, [](std::string_view token) {
    return !net::equals_ignoring_case(token, "close") &&
           !net::equals_ignoring_case(token, "keep-alive") &&
           !net::equals_ignoring_case(token, "upgrade");
  });
}

bool nominated(const MessageHead& head, const HeaderField& field) noexcept {
  if ((bit(field.known) & kNeverNominated) != 0 && field.known != KnownHeader::other) return false;
  const std::string_view name = head.name(field);
  return any_connection_token(
      head, [name](std::string_view token) { return net::equals_ignoring_case(token, name); });
}

/// The line is what we would write ourselves: the only Content-Length, plain digits, no leading
/// zero.
bool is_canonical_length(const MessageHead& head, const HeaderField& field) noexcept {
  if (&field != head.find(KnownHeader::content_length)) return false;
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, head.content_length).ptr;
  return head.value(field) == std::string_view(digits, static_cast<size_t>(end - digits));
}

void append_number(AddedBlock& added, uint64_t value) noexcept {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  added.append({digits, static_cast<size_t>(end - digits)});
}

void add_line(std::string_view name, std::string_view value, AddedBlock& added,
              Gather& out) noexcept {
  added.append(name);
  if (value.size() <= 256) {
    added.append(value);
  } else {
    out.add(added.take());
    out.add(value);
  }
  added.append("\r\n");
}

void add_trace_lines(const MessageHead& head, const telemetry::TraceContext& trace,
                     AddedBlock& added) noexcept {
  added.append("x-trace: ");
  added.append(trace.x_trace());
  added.append("\r\ntraceparent: ");
  telemetry::write_traceparent(trace, added.reserve(telemetry::kTraceparentBytes));
  added.append("\r\n");
  if (trace.came_as_b3_single) {
    added.append("b3: ");
    char* at = added.reserve(100);
    added.drop_back(100 - telemetry::write_b3_single(trace, at));
    added.append("\r\n");
  }
  if (trace.came_as_b3_multi) {
    added.append("X-B3-TraceId: ");
    telemetry::write_hex(trace.trace_id, added.reserve(32));
    added.append("\r\nX-B3-SpanId: ");
    telemetry::write_hex(trace.span_id, added.reserve(16));
    if (!trace.parent_span_id.is_zero()) {
      added.append("\r\nX-B3-ParentSpanId: ");
      telemetry::write_hex(trace.parent_span_id, added.reserve(16));
    }
    added.append(trace.sampled ? "\r\nX-B3-Sampled: 1\r\n" : "\r\nX-B3-Sampled: 0\r\n");
  }
  if (!head.has(KnownHeader::x_request_id)) {
    added.append("x-request-id: ");
    net::write_uuid(net::uuid_v7(), added.reserve(36));
    added.append("\r\n");
  }
}

void add_forwarded_lines(const MessageHead& head, const RequestEdit& edit,
                         std::string_view forwarded_for, AddedBlock& added, Gather& out) noexcept {
  added.append("x-forwarded-for: ");
  if (!forwarded_for.empty()) {
    out.add(added.take());
    out.add(forwarded_for);
    added.append(", ");
  }
  added.append(edit.peer_ip);
  added.append("\r\n");
  if (!edit.trust_forwarded || !head.has(KnownHeader::x_forwarded_proto))
    added.append(edit.tls ? "x-forwarded-proto: https\r\n" : "x-forwarded-proto: http\r\n");
  const std::string_view host =
      edit.authority.empty() ? head.get(KnownHeader::host) : edit.authority;
  if (!host.empty() && (!edit.trust_forwarded || !head.has(KnownHeader::x_forwarded_host)))
    add_line("x-forwarded-host: ", host, added, out);
}

void add_start_line(const MessageHead& head, Gather& out) noexcept {
  if (head.version_minor == 1 && head.target.front() == '/') {
    out.add(head.raw.substr(0, head.start_line_end));
    return;
  }
  out.add(head.method);
  out.add(" ");
  const std::string_view path = net::origin_form(head.target);
  if (path.front() == '?') out.add("/");  // "http://host?query"
  out.add(path);
  out.add(" HTTP/1.1\r\n");
}

constexpr std::string_view kMaxForwards = "max-forwards";

}  // namespace

std::optional<uint64_t> hops_left(const MessageHead& head) noexcept {
  if (head.method != "OPTIONS" && head.method != "TRACE") return std::nullopt;
  const std::string_view text = head.get(kMaxForwards);
  uint64_t hops = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hops);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return hops;
}

std::string_view authority_of(std::string_view target) noexcept {
  if (target.empty() || target.front() == '/' || target.front() == '*') return {};
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string_view rest = target.substr(scheme + 3);
  return rest.substr(0, rest.find_first_of("/?"));
}

void add_request_head(const MessageHead& head, const RequestEdit& edit, AddedBlock& added,
                      Gather& out) noexcept {
  uint64_t drop = kHopByHop | bit(KnownHeader::x_trace) | bit(KnownHeader::traceparent) |
                  bit(KnownHeader::x_hms_error) | kB3;
  if (!edit.trace->traceparent_valid) drop |= bit(KnownHeader::tracestate);
  if (!edit.outbound) drop |= edit.trust_forwarded ? 0 : kForwarded;
  if (!edit.authority.empty()) drop |= bit(KnownHeader::host);
  if (!head.has_content_length) drop |= bit(KnownHeader::content_length);
  const bool nominates = nominates_fields(head);
  const bool append_forwarded = !edit.outbound && edit.trust_forwarded;
  const HeaderField* forwarded_for = nullptr;
  if (append_forwarded && head.has(KnownHeader::x_forwarded_for)) {
    for (uint16_t i = 0; i < head.field_count; ++i) {
      if (head.fields[i].known == KnownHeader::x_forwarded_for)
        forwarded_for = &head.fields[i];  // the last one is continued
    }
  }

  const std::optional<uint64_t> hops = hops_left(head);
  add_start_line(head, out);
  // A POST without a body says so: some services wait for one otherwise.
  const bool bodiless_upload =
      !head.has_content_length && head.body == net::BodyKind::none &&
      (head.method == "POST" || head.method == "PUT" || head.method == "PATCH");
  bool length_written = !head.has_content_length && !bodiless_upload;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    const HeaderField& field = head.fields[i];
    if ((drop & bit(field.known)) != 0 && field.known != KnownHeader::other) continue;
    if (field.known == KnownHeader::content_length) {
      if (!is_canonical_length(head, field)) continue;
      length_written = true;
    }
    if (&field == forwarded_for) continue;
    if (hops && net::equals_ignoring_case(head.name(field), kMaxForwards)) continue;
    if (nominates && nominated(head, field)) continue;
    out.add(head.raw.substr(field.begin, field.end - field.begin));
  }

  if (!edit.authority.empty()) add_line("Host: ", edit.authority, added, out);
  if (!length_written) {
    added.append("Content-Length: ");
    append_number(added, head.content_length);
    added.append("\r\n");
  }
  if (hops && *hops > 0) {
    added.append("Max-Forwards: ");
    append_number(added, *hops - 1);
    added.append("\r\n");
  }
  if (head.body == net::BodyKind::chunked) added.append("Transfer-Encoding: chunked\r\n");
  if (edit.keep_upgrade) {
    added.append("Connection: upgrade\r\n");
    add_line("Upgrade: ", head.get(KnownHeader::upgrade), added, out);
  }
  if (head.has(KnownHeader::te) && any_token(head.get(KnownHeader::te), [](std::string_view t) {
        return net::equals_ignoring_case(t, "trailers");
      })) {
    added.append(edit.keep_upgrade ? "TE: trailers\r\n" : "TE: trailers\r\nConnection: TE\r\n");
  }
  add_trace_lines(head, *edit.trace, added);
  if (!edit.outbound) {
    add_forwarded_lines(head, edit,
                        forwarded_for != nullptr ? head.value(*forwarded_for) : std::string_view{},
                        added, out);
  }
  added.append(edit.via_line);
  added.append("\r\n");
  out.add(added.take());
}

void add_reply_head(const MessageHead& head, const ReplyEdit& edit, AddedBlock& added,
                    Gather& out) noexcept {
  uint64_t drop = kHopByHop;
  if (!edit.x_trace.empty()) drop |= bit(KnownHeader::x_trace);
  if (edit.strip_own_error) drop |= bit(KnownHeader::x_hms_error);
  if (edit.framing != ReplyFraming::as_is) drop |= bit(KnownHeader::content_length);
  const bool nominates = nominates_fields(head);

  // The version is ours; the status and the reason phrase stay as the service wrote them.
  if (head.version_minor == 1) {
    out.add(head.raw.substr(0, head.start_line_end));
  } else {
    out.add("HTTP/1.1");
    out.add(head.raw.substr(8, head.start_line_end - 8));
  }
  bool length_written = !head.has_content_length || edit.framing != ReplyFraming::as_is;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    const HeaderField& field = head.fields[i];
    if ((drop & bit(field.known)) != 0 && field.known != KnownHeader::other) continue;
    if (field.known == KnownHeader::content_length) {
      if (!is_canonical_length(head, field)) continue;
      length_written = true;
    }
    if (nominates && nominated(head, field)) continue;
    out.add(head.raw.substr(field.begin, field.end - field.begin));
  }

  if (!length_written) {
    added.append("Content-Length: ");
    append_number(added, head.content_length);
    added.append("\r\n");
  }
  if (edit.framing == ReplyFraming::chunked) added.append("Transfer-Encoding: chunked\r\n");
  if (edit.upgrade) {
    added.append("Connection: upgrade\r\n");
    if (head.has(KnownHeader::upgrade))
      add_line("Upgrade: ", head.get(KnownHeader::upgrade), added, out);
  } else if (edit.close) {
    added.append("Connection: close\r\n");
  } else if (edit.say_keep_alive) {
    added.append("Connection: keep-alive\r\n");
  }
  if (!edit.x_trace.empty()) {
    added.append("x-trace: ");
    added.append(edit.x_trace);
    added.append("\r\n");
  }
  added.append("\r\n");
  out.add(added.take());
}

}  // namespace hms::proxy
