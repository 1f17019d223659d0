// A message from its beginning to its end; its head is read in h1_codec_head.cc, its body, chunks
// and trailers in h1_codec_body.cc.
#include "net/http/h1_codec_impl.h"

namespace hms::net {

using Impl = H1Codec::Impl;
using Step = H1Codec::Step;

Step Impl::fail(uint16_t status, std::string_view site) {
  state = State::failed;
  fault = {kind == Kind::response ? uint16_t{502} : status, site};
  return Step::failed;
}

/// True if the grammar allows the whole segment. Else the state tells: failed, or bad_method.
bool Impl::feed(std::string_view segment) {
  switch (grammar.feed(segment)) {
    case H1Grammar::Verdict::taken:
      return true;
    case H1Grammar::Verdict::unknown_method:
      state = State::bad_method;
      return false;
    case H1Grammar::Verdict::refused:
      break;
  }
  fail(grammar.fault(buffer, segment));
  return false;
}

// === one message

void Impl::begin_message() {
  grammar.begin(kind);
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

}  // namespace hms::net
