// h1_codec_impl.h: the inside of an H1Codec: where in a message it stands. Private to h1_codec*.cc.
//
//   start -> head -> length | until_close | chunk_size -> chunk_data -> chunk_end -> ... -> trailer
//        \-> closed     \------------------------> complete -> waiting -> start (next_message)
//
// How the work is shared: llhttp judges the grammar of heads, chunk lines and trailers
// (h1_grammar.h); the codec cuts the input into segments of which it knows where they must end
// (head, chunk line, chunk, trailer line), and refuses the message when llhttp sees the end
// elsewhere. Bodies with a length are counted and never pass through the parser. Because a segment
// is fed only up to the first bound it crosses, a message gives the same steps and the same fault
// however it was cut into reads. Thread: the loop's. Owner: H1Codec.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/h1_codec.h"
#include "net/http/h1_grammar.h"
#include "net/http/head_framing.h"

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

  H1Grammar grammar;
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

}  // namespace hms::net
