// The head of a message: its start line and fields, found in place where one read brought them all,
// else collected; then split, framed and guarded.
#include <algorithm>
#include <optional>

#include "net/http/characters.h"
#include "net/http/h1_codec_impl.h"
#include "net/http/head_guard.h"
#include "net/http/head_split.h"

namespace hms::net {

using Impl = H1Codec::Impl;
using Step = H1Codec::Step;

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
  if (grammar.without_version()) return fail(400, "no_version");
  if (!grammar.speaks_http_1()) return fail(505, "version_unsupported");
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
  if (grammar.seen().head_end != found) return fail(400, "parsers_disagree_on_head");
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
  if (head.has(KnownHeader::transfer_encoding) != grammar.is_chunked() ||
      head.has_content_length != grammar.has_length() ||
      (head.has_content_length && grammar.length() != head.content_length)) {
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

}  // namespace hms::net
