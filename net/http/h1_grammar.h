// h1_grammar.h: llhttp's verdict on the bytes of one message, a segment at a time. Private to
// net/http.
//
// The codec cuts its input into segments (start line, fields, chunk line, chunk, trailer line) and
// asks here about each: is it what the grammar allows, and what ended in it? llhttp is paused at
// the end of the head and of the message; a pause anywhere but behind a segment's last byte is a
// disagreement about where things end, and refused. Owner: H1Codec, at one address for life (llhttp
// keeps it). Thread: the loop's. Allocates nothing but the text of a fault.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <string_view>

#include "net/http/h1_codec.h"

namespace hms::net {

class H1Grammar {
 public:
  /// `unknown_method`: of a request; whether it is a token or noise is for the caller to see.
  enum class Verdict : uint8_t { taken, unknown_method, refused };
  /// What ended in the segment that was fed last.
  struct Seen {
    bool head_end = false;
    bool message_end = false;
    bool chunk_line = false;
    bool chunk_end = false;
  };

  H1Grammar() = default;
  H1Grammar(const H1Grammar&) = delete;
  H1Grammar& operator=(const H1Grammar&) = delete;

  /// From here on: a new message.
  void begin(H1Codec::Kind kind);
  [[nodiscard]] Verdict feed(std::string_view segment);
  [[nodiscard]] const Seen& seen() const noexcept { return seen_; }
  /// After `refused`: the rule that `segment` broke. `earlier`: what of the message came before.
  [[nodiscard]] HttpFault fault(std::string_view earlier, std::string_view segment) const;

  // After the start line
  [[nodiscard]] bool without_version() const noexcept {
    return parser_.http_major == 0 && parser_.http_minor == 0;
  }
  [[nodiscard]] bool speaks_http_1() const noexcept {
    return parser_.http_major == 1 && parser_.http_minor <= 1;
  }
  // After the head
  [[nodiscard]] bool is_chunked() const noexcept { return (parser_.flags & F_CHUNKED) != 0; }
  [[nodiscard]] bool has_length() const noexcept { return (parser_.flags & F_CONTENT_LENGTH) != 0; }
  [[nodiscard]] uint64_t length() const noexcept { return parser_.content_length; }
  /// After `seen().chunk_line`.
  [[nodiscard]] uint64_t chunk_size() const noexcept { return chunk_size_; }

 private:
  static int on_headers_complete(llhttp_t* parser);
  static int on_message_complete(llhttp_t* parser);
  static int on_chunk_header(llhttp_t* parser);
  static int on_chunk_complete(llhttp_t* parser);
  static const llhttp_settings_t& settings();
  [[nodiscard]] HttpFault version_fault(std::string_view earlier, std::string_view segment) const;

  llhttp_t parser_{};
  uint64_t chunk_size_ = 0;
  int error_ = 0;  // llhttp's, of a refused segment
  Seen seen_;
  H1Codec::Kind kind_ = H1Codec::Kind::request;
};

}  // namespace hms::net
