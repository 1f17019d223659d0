// How the work is shared: llhttp judges the grammar of heads, chunk lines and trailers; this file
// cuts the input into segments of which it knows where they must end (head, chunk line, chunk,
// trailer line), and refuses the message when llhttp sees the end elsewhere. Bodies with a length
// are counted here and never pass through the parser. Because a segment is fed only up to the first
// bound it crosses, a message gives the same steps and the same fault however it was cut into
// reads.
#include "net/http/h1_codec.h"

#include <llhttp.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "net/core/check.h"
#include "net/http/characters.h"
#include "net/http/head_framing.h"
#include "net/http/head_guard.h"
#include "net/http/head_split.h"

namespace hms::net {

struct H1Codec::Impl {
  enum class State : uint8_t {
    start,        // between messages
    closed,       // the peer announced the last message: further bytes are a fault
    head,         // some bytes of a head were seen
    bad_method,   // the parser does not know the method: is it a token (501) or noise (400)?
    length,       // body with Content-Length
    until_close,  // body without an end but the connection's
    chunk_size,
    chunk_data,
    chunk_end,  // the CRLF after a chunk
    trailer,
    trailers_ready,
    complete,  // `end` is still to be told
    tunnel,    // `upgrade` is still to be told
    waiting,   // `end` was told; next_message comes next
    upgraded,
    failed,
  };

  Impl(Kind kind_of_message, const HttpLimits& wanted) : kind(kind_of_message) {
    start_over(wanted);
  }

  void start_over(const HttpLimits& wanted) {
    limits = wanted;
    limits.fields = std::min<uint16_t>(limits.fields, MessageHead::kMaxFields);
    answers = RequestKind::ordinary;
    begin_message();
  }
  Step next(std::string_view& input);
  Step finish();
  void begin_message();
  void next_message();
  void keep_head();

  Kind kind;
  HttpLimits limits;
  State state = State::start;
  RequestKind answers = RequestKind::ordinary;
  MessageHead head;
  std::string_view body;
  HttpFault fault;
  std::string buffer;    // the head, when it came in pieces or must be kept
  std::string trailers;  // field lines that were let through

 private:
  Step fail(uint16_t status, std::string_view site);
  Step fail(const HttpFault& broken) { return fail(broken.status, broken.site); }
  Step fail_from_parser(std::string_view segment, int error);
  bool feed(std::string_view segment);
  Step read_start(std::string_view& input);
  Step read_head(std::string_view& input);
  std::optional<Step> read_start_line(std::string_view input, size_t& position);
  Step read_fields(std::string_view& input, size_t position);
  bool find_blank_line(std::string_view input, size_t& position);
  Step keep_piece(std::string_view& input);
  Step finish_head(std::string_view& input, size_t end);
  State state_after_head() const;
  Step read_bad_method(std::string_view& input);
  Step read_length(std::string_view& input);
  Step read_until_close(std::string_view& input);
  Step read_chunk_size(std::string_view& input);
  Step read_chunk_data(std::string_view& input);
  Step read_chunk_end(std::string_view& input);
  Step read_trailer(std::string_view& input);
  Step end_trailer_line(std::string_view& input);

  static int on_headers_complete(llhttp_t* parser);
  static int on_message_complete(llhttp_t* parser);
  static int on_chunk_header(llhttp_t* parser);
  static int on_chunk_complete(llhttp_t* parser);
  static const llhttp_settings_t& settings();

  llhttp_t parser;
  // What the parser said during the last `feed`.
  bool saw_headers_end = false;
  bool saw_message_end = false;
  bool saw_chunk_header = false;
  bool saw_chunk_end = false;
  uint64_t parsers_chunk_size = 0;

  bool skipped_crlf = false;  // RFC 9112, 2.2: one empty line before a request is ignored
  bool start_line_done = false;
  size_t line_length = 0;  // bytes of the head's current line in earlier pieces
  size_t method_bytes = 0;
  uint64_t remaining = 0;  // of the body or the chunk
  uint64_t chunk_size_digits = 0;
  uint64_t chunk_extension_bytes = 0;
  uint8_t chunk_end_left = 0;
  bool in_chunk_extension = false;
  size_t trailer_bytes = 0;
  size_t trailer_line_begin = 0;
  uint16_t trailer_fields = 0;
};

using Impl = H1Codec::Impl;
using Step = H1Codec::Step;

// === what llhttp tells

int Impl::on_headers_complete(llhttp_t* parser) {
  static_cast<Impl*>(parser->data)->saw_headers_end = true;
  return HPE_PAUSED;
}

int Impl::on_message_complete(llhttp_t* parser) {
  static_cast<Impl*>(parser->data)->saw_message_end = true;
  return HPE_PAUSED;
}

int Impl::on_chunk_header(llhttp_t* parser) {
  auto* self = static_cast<Impl*>(parser->data);
  self->saw_chunk_header = true;
  self->parsers_chunk_size = parser->content_length;
  return 0;
}

int Impl::on_chunk_complete(llhttp_t* parser) {
  static_cast<Impl*>(parser->data)->saw_chunk_end = true;
  return 0;
}

const llhttp_settings_t& Impl::settings() {
  static const llhttp_settings_t shared = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_headers_complete = &Impl::on_headers_complete;
    made.on_message_complete = &Impl::on_message_complete;
    made.on_chunk_header = &Impl::on_chunk_header;
    made.on_chunk_complete = &Impl::on_chunk_complete;
    return made;
  }();
  return shared;
}

/// True if the parser took the whole segment. A pause anywhere but behind its last byte is a
/// disagreement about where things end.
bool Impl::feed(std::string_view segment) {
  saw_headers_end = saw_message_end = saw_chunk_header = saw_chunk_end = false;
  if (segment.empty()) return true;
  const llhttp_errno_t error = llhttp_execute(&parser, segment.data(), segment.size());
  if (error == HPE_OK) return true;
  if (error == HPE_PAUSED) {
    const bool at_end = llhttp_get_error_pos(&parser) == segment.data() + segment.size();
    llhttp_resume(&parser);
    if (at_end) return true;
    fail(400, "parsers_disagree_on_end");
    return false;
  }
  fail_from_parser(segment, error);
  return false;
}

namespace {

bool is_foreign_method(uint8_t method) {
  // RTSP and ICE names that llhttp knows but does not take on HTTP.
  return method == HTTP_SOURCE || (method >= HTTP_DESCRIBE && method <= HTTP_FLUSH);
}

std::string_view site_of(int error) {
  switch (error) {
    case HPE_INVALID_URL:
      return "target";
    case HPE_INVALID_CONSTANT:
      return "version";
    case HPE_INVALID_HEADER_TOKEN:
      return "field";
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return "content_length";
    case HPE_INVALID_CHUNK_SIZE:
      return "chunk_size";
    case HPE_INVALID_STATUS:
      return "status";
    case HPE_INVALID_TRANSFER_ENCODING:
      return "transfer_encoding";
    case HPE_STRICT:
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED:
      return "line_end";
    default:
      return "grammar";
  }
}

/// `text` ends where the parser refused the version: "HTTP/2.7" is a version we lack, everything
/// else is noise.
bool names_other_version(std::string_view text) {
  if (text.size() < 8) return false;
  const std::string_view version = text.substr(text.size() - 8);
  return version.substr(0, 5) == "HTTP/" && is_class(version[5], kDigit) && version[6] == '.' &&
         is_class(version[7], kDigit) && version != "HTTP/1.1" && version != "HTTP/1.0";
}

}  // namespace

Step Impl::fail(uint16_t status, std::string_view site) {
  state = State::failed;
  fault = {kind == Kind::response ? uint16_t{502} : status, site};
  return Step::failed;
}

Step Impl::fail_from_parser(std::string_view segment, int error) {
  switch (error) {
    case HPE_INVALID_METHOD:
      if (kind == Kind::response) return fail(400, "status_line");
      state = State::bad_method;
      return Step::need_more;
    case HPE_INVALID_CONSTANT:
      if (kind == Kind::request && is_foreign_method(parser.method)) return fail(501, "method");
      return fail(400, "version");
    case HPE_PAUSED_H2_UPGRADE:
      return fail(505, "http2_preface");
    case HPE_INVALID_VERSION: {
      const char* at = llhttp_get_error_pos(&parser);
      const size_t taken =
          at == nullptr || at < segment.data() ? 0 : static_cast<size_t>(at - segment.data());
      const std::string seen = buffer + std::string(segment.substr(0, taken));
      return names_other_version(seen) ? fail(505, "version_unsupported") : fail(400, "version");
    }
    case HPE_INVALID_TRANSFER_ENCODING:
      if ((parser.flags & F_CONTENT_LENGTH) != 0) return fail(400, "length_and_transfer_encoding");
      return fail(501, "transfer_encoding");
    default:
      return fail(400, site_of(error));
  }
}

// === one message

void Impl::begin_message() {
  llhttp_init(&parser, kind == Kind::request ? HTTP_REQUEST : HTTP_RESPONSE, &settings());
  parser.data = this;
  state = State::start;
  body = {};
  buffer.clear();
  trailers.clear();
  skipped_crlf = start_line_done = in_chunk_extension = false;
  line_length = method_bytes = trailer_bytes = trailer_line_begin = 0;
  remaining = chunk_size_digits = chunk_extension_bytes = 0;
  trailer_fields = 0;
}

void Impl::next_message() {
  if (state != State::waiting) return;
  const bool interim = kind == Kind::response && head.status < 200;
  const bool last = !interim && !head.keep_alive;
  if (!interim) answers = RequestKind::ordinary;
  begin_message();
  if (last) state = State::closed;
}

Step Impl::next(std::string_view& input) {
  switch (state) {
    case State::trailers_ready:
      state = State::complete;
      return Step::trailers;
    case State::complete:
      state = State::waiting;
      return Step::end;
    case State::tunnel:
      state = State::upgraded;
      return Step::upgrade;
    case State::waiting:
    case State::upgraded:
      return Step::need_more;
    case State::failed:
      return Step::failed;
    case State::start:
      return read_start(input);
    case State::closed:
      return input.empty() ? Step::need_more : fail(400, "data_after_close");
    case State::head:
      return read_head(input);
    case State::bad_method:
      return read_bad_method(input);
    case State::length:
      return read_length(input);
    case State::until_close:
      return read_until_close(input);
    case State::chunk_size:
      return read_chunk_size(input);
    case State::chunk_data:
      return read_chunk_data(input);
    case State::chunk_end:
      return read_chunk_end(input);
    case State::trailer:
      return read_trailer(input);
  }
  return Step::failed;
}

Step Impl::finish() {
  std::string_view nothing;
  switch (state) {
    case State::start:
    case State::closed:
    case State::waiting:
    case State::upgraded:
      return Step::need_more;
    case State::trailers_ready:
    case State::complete:
    case State::tunnel:
    case State::failed:
      return next(nothing);
    case State::until_close:
      state = State::waiting;
      return Step::end;
    case State::head:
    case State::bad_method:
    case State::length:
    case State::chunk_size:
    case State::chunk_data:
    case State::chunk_end:
    case State::trailer:
      return fail(400, "message_cut");
  }
  return Step::failed;
}

// === head

/// Ignores one CRLF before a request (some senders end a body with a spare one); a second one, or a
/// lone CR or LF, is refused.
Step Impl::read_start(std::string_view& input) {
  while (!input.empty()) {
    const char first = input.front();
    if (first != '\r' && first != '\n') {
      if (line_length == 1) return fail(400, "leading_cr");
      state = State::head;
      return read_head(input);
    }
    if (kind == Kind::response || skipped_crlf) return fail(400, "leading_crlf");
    if ((first == '\n') != (line_length == 1)) return fail(400, "leading_crlf");
    skipped_crlf = first == '\n';
    line_length = first == '\n' ? 0 : 1;
    input.remove_prefix(1);
  }
  return Step::need_more;
}

Step Impl::read_head(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  size_t position = 0;
  if (!start_line_done) {
    if (const auto step = read_start_line(input, position)) {
      return *step == Step::need_more ? keep_piece(input) : *step;
    }
    if (state == State::bad_method) return read_bad_method(input);
  }
  return read_fields(input, position);
}

/// Feeds the start line, or as much of it as is there. Nothing: the start line is complete and
/// `position` behind it.
std::optional<Step> Impl::read_start_line(std::string_view input, size_t& position) {
  const size_t limit = std::min(limits.start_line_bytes, limits.head_bytes);
  const size_t newline = input.find('\n');
  const size_t wanted = newline == std::string_view::npos ? input.size() : newline + 1;
  const size_t stop = std::min(wanted, limit - buffer.size());
  if (!feed(input.substr(0, stop))) {
    return state == State::bad_method ? std::nullopt : std::optional(Step::failed);
  }
  if (stop < wanted) return fail(414, "start_line_length");
  if (newline == std::string_view::npos) return Step::need_more;
  start_line_done = true;
  if (parser.http_major == 0 && parser.http_minor == 0) return fail(400, "no_version");
  if (parser.http_major != 1 || parser.http_minor > 1) return fail(505, "version_unsupported");
  position = stop;
  return std::nullopt;
}

/// Moves `position` behind the empty line and returns true, or to the end of the input.
bool Impl::find_blank_line(std::string_view input, size_t& position) {
  while (position < input.size()) {
    const size_t newline = input.find('\n', position);
    if (newline == std::string_view::npos) {
      line_length += input.size() - position;
      position = input.size();
      return false;
    }
    const size_t length = line_length + newline - position;
    const char before = newline > 0 ? input[newline - 1] : (buffer.empty() ? '\n' : buffer.back());
    line_length = 0;
    position = newline + 1;
    if (length == 0 || (length == 1 && before == '\r')) return true;
  }
  return false;
}

Step Impl::read_fields(std::string_view& input, size_t position) {
  size_t end = position;
  const bool found = find_blank_line(input, end);
  const size_t stop = std::min<size_t>(end, limits.head_bytes - buffer.size());
  if (!feed(input.substr(position, stop - position))) return Step::failed;
  if (stop < end) return fail(431, "head_length");
  if (saw_headers_end != found) return fail(400, "parsers_disagree_on_head");
  return found ? finish_head(input, end) : keep_piece(input);
}

/// The head goes on in the next read: this is the only place where heads are copied.
Step Impl::keep_piece(std::string_view& input) {
  buffer.append(input);
  input = {};
  return Step::need_more;
}

Step Impl::finish_head(std::string_view& input, size_t end) {
  std::string_view raw = input.substr(0, end);
  if (!buffer.empty()) {
    buffer.append(raw);
    raw = buffer;
  }
  input.remove_prefix(end);
  if (auto broken = split_head(raw, kind == Kind::request, limits.fields, head)) {
    return fail(*broken);
  }
  if (auto broken = frame_head(answers, head)) return fail(*broken);
  if (auto broken = guard_head(head)) return fail(*broken);
  const bool parser_sees_chunks = (parser.flags & F_CHUNKED) != 0;
  if (head.has(KnownHeader::transfer_encoding) != parser_sees_chunks ||
      head.has_content_length != ((parser.flags & F_CONTENT_LENGTH) != 0) ||
      (head.has_content_length && parser.content_length != head.content_length)) {
    return fail(400, "parsers_disagree_on_framing");
  }
  remaining = head.content_length;
  state = state_after_head();
  return Step::head;
}

Impl::State Impl::state_after_head() const {
  if (kind == Kind::response) {
    const bool tunnel = head.status == 101 || (answers == RequestKind::connect &&
                                               head.status >= 200 && head.status < 300);
    if (tunnel) return State::tunnel;
  }
  switch (head.body) {
    case BodyKind::none:
      return State::complete;
    case BodyKind::length:
      return State::length;
    case BodyKind::chunked:
      return State::chunk_size;
    case BodyKind::until_close:
      return State::until_close;
  }
  return State::failed;
}

Step Impl::read_bad_method(std::string_view& input) {
  const auto look = [this](std::string_view bytes) -> std::optional<Step> {
    for (const char c : bytes) {
      if (c == ' ' && method_bytes > 0) return fail(501, "method");
      if (!is_class(c, kToken)) return fail(400, "method");
      if (++method_bytes > limits.start_line_bytes) return fail(414, "start_line_length");
    }
    return std::nullopt;
  };
  if (const auto step = look(buffer)) return *step;
  buffer.clear();
  if (const auto step = look(input)) return *step;
  input = {};
  return Step::need_more;
}

void Impl::keep_head() {
  if (head.raw.empty() || head.raw.data() == buffer.data()) return;
  buffer.assign(head.raw);
  move_head(buffer, head);
}

// === bodies

Step Impl::read_length(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  body = input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining, input.size())));
  input.remove_prefix(body.size());
  remaining -= body.size();
  if (remaining == 0) state = State::complete;
  return Step::body;
}

Step Impl::read_until_close(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  body = input;
  input = {};
  return Step::body;
}

Step Impl::read_chunk_size(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const size_t newline = input.find('\n');
  const size_t wanted = newline == std::string_view::npos ? input.size() : newline + 1;
  std::string_view crossed;
  size_t stop = 0;
  for (; stop < wanted && crossed.empty(); ++stop) {
    const char c = input[stop];
    if (!in_chunk_extension && is_class(c, kDigit)) {
      remaining = remaining * 16 + static_cast<uint64_t>(c - '0');
    } else if (!in_chunk_extension && lower(c) >= 'a' && lower(c) <= 'f') {
      remaining = remaining * 16 + static_cast<uint64_t>(lower(c) - 'a' + 10);
    } else {
      in_chunk_extension = true;
      if (c != '\r' && c != '\n' && ++chunk_extension_bytes > limits.chunk_extension_bytes) {
        crossed = "chunk_extension_length";
        break;
      }
      continue;
    }
    // 15 digits are an exabyte; more may only be leading zeros, which nobody sends in good faith.
    if (++chunk_size_digits > 15) {
      crossed = "chunk_size";
      break;
    }
  }
  if (!feed(input.substr(0, stop))) return Step::failed;
  if (!crossed.empty()) return fail(400, crossed);
  input.remove_prefix(stop);
  const bool ended = newline != std::string_view::npos;
  if (saw_chunk_header != ended || saw_chunk_end || saw_message_end ||
      (ended && parsers_chunk_size != remaining)) {
    return fail(400, "parsers_disagree_on_chunk");
  }
  if (!ended) return Step::need_more;
  in_chunk_extension = false;
  chunk_size_digits = 0;
  state = remaining == 0 ? State::trailer : State::chunk_data;
  return next(input);
}

Step Impl::read_chunk_data(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const std::string_view piece =
      input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining, input.size())));
  if (!feed(piece)) return Step::failed;
  if (saw_chunk_end || saw_message_end) return fail(400, "parsers_disagree_on_chunk");
  body = piece;
  input.remove_prefix(piece.size());
  remaining -= piece.size();
  if (remaining == 0) {
    state = State::chunk_end;
    chunk_end_left = 2;
  }
  return Step::body;
}

Step Impl::read_chunk_end(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const std::string_view piece = input.substr(0, chunk_end_left);
  const std::string_view wanted = std::string_view("\r\n").substr(2U - chunk_end_left);
  if (piece != wanted.substr(0, piece.size())) return fail(400, "chunk_overrun");
  if (!feed(piece)) return Step::failed;
  input.remove_prefix(piece.size());
  chunk_end_left = static_cast<uint8_t>(chunk_end_left - piece.size());
  if (saw_chunk_end != (chunk_end_left == 0) || saw_message_end) {
    return fail(400, "parsers_disagree_on_chunk");
  }
  if (chunk_end_left > 0) return Step::need_more;
  state = State::chunk_size;
  return next(input);
}

Step Impl::read_trailer(std::string_view& input) {
  while (!input.empty()) {
    const size_t newline = input.find('\n');
    const size_t wanted = newline == std::string_view::npos ? input.size() : newline + 1;
    const size_t stop = std::min<size_t>(wanted, limits.trailer_bytes - trailer_bytes);
    if (!feed(input.substr(0, stop))) return Step::failed;
    if (stop < wanted) return fail(431, "trailer_length");
    trailer_bytes += stop;
    trailers.append(input.substr(0, stop));
    input.remove_prefix(stop);
    if (newline == std::string_view::npos) {
      if (saw_message_end) return fail(400, "parsers_disagree_on_trailers");
      return Step::need_more;
    }
    const Step step = end_trailer_line(input);
    if (step != Step::need_more) return step;
  }
  return Step::need_more;
}

/// `trailers` ends with a complete line: keep it, drop it, or end the message with it.
Step Impl::end_trailer_line(std::string_view& input) {
  const std::string_view line = std::string_view(trailers).substr(trailer_line_begin);
  const bool blank = line == "\r\n";
  if (saw_message_end != blank) return fail(400, "parsers_disagree_on_trailers");
  if (blank) {
    trailers.resize(trailer_line_begin);
    state = trailers.empty() ? State::complete : State::trailers_ready;
    return next(input);
  }
  if (++trailer_fields > limits.fields) return fail(431, "too_many_trailers");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return fail(400, "trailer_name");
  }
  if (line.size() < colon + 3 || line.substr(line.size() - 2) != "\r\n" ||
      !is_field_value(line.substr(colon + 1, line.size() - colon - 3))) {
    return fail(400, "trailer_value");
  }
  if (forbidden_in_trailers(line.substr(0, colon))) trailers.resize(trailer_line_begin);
  trailer_line_begin = trailers.size();
  return Step::need_more;
}

// === H1Codec

H1Codec::H1Codec(Kind kind, const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(kind, limits)) {}
H1Codec::~H1Codec() = default;
H1Codec::H1Codec(H1Codec&&) noexcept = default;
H1Codec& H1Codec::operator=(H1Codec&&) noexcept = default;

H1Codec::Step H1Codec::next(std::string_view& input) { return impl_->next(input); }
H1Codec::Step H1Codec::finish() { return impl_->finish(); }

const MessageHead& H1Codec::head() const noexcept { return impl_->head; }
std::string_view H1Codec::body() const noexcept { return impl_->body; }
std::string_view H1Codec::trailers() const noexcept { return impl_->trailers; }
const HttpFault& H1Codec::fault() const noexcept { return impl_->fault; }

void H1Codec::start_over(const HttpLimits& limits) { impl_->start_over(limits); }
void H1Codec::keep_head() { impl_->keep_head(); }
void H1Codec::next_message() { impl_->next_message(); }

void H1Codec::expect_reply_to(std::string_view method) noexcept {
  impl_->answers = method == "HEAD"      ? RequestKind::head
                   : method == "CONNECT" ? RequestKind::connect
                                         : RequestKind::ordinary;
}

bool H1Codec::at_message_start() const noexcept {
  return impl_->state == Impl::State::start || impl_->state == Impl::State::closed;
}

void H1Codec::release_buffers() noexcept {
  if (!at_message_start()) return;
  impl_->buffer = std::string();
  impl_->trailers = std::string();
}

}  // namespace hms::net
