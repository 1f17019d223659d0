// h1_codec.h: HTTP/1.x bytes in, one step at a time out. The seam behind which a second HTTP
// version can stand.
//
// Pull, not push: the owner feeds what arrived and asks for steps, so nothing calls back into code
// that may be destroying the connection. llhttp does the grammar (paused at each step); head_guard
// looks again at every head before it is handed out; body framing is reported, never forwarded raw.
//
//   input = bytes from the stream
//   while ((step = codec.next(input)) != Step::need_more) switch (step) { head, body, trailers,
//   end, upgrade, failed }
//
// `next` consumes from the front of `input`. After `end` the codec waits: call `next_message()`
// before feeding further bytes, so pipelined requests stay in the caller's hands. Heads that arrive
// in one read are parsed in place, without a copy. Thread: the loop's. Only h1_grammar.h knows
// llhttp. Allocates only for heads split over reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/core/result.h"
#include "net/http/message_head.h"

namespace hms::net {

struct HttpLimits {
  uint32_t start_line_bytes = 8 * 1024;
  uint32_t head_bytes = 64 * 1024;  // start line and all fields
  uint16_t fields = 128;
  uint32_t chunk_extension_bytes = 1024;  // over one message (CVE-2024-22019)
  uint32_t trailer_bytes = 16 * 1024;
};

/// A failed message: for a request the status to answer with (400, 414, 431, 501, 505), for a
/// response always 502.
struct HttpFault {
  uint16_t status = 400;
  std::string_view
      site;  // static text naming the broken rule: "bare_lf", "obs_fold", "two_hosts", ...
};

class H1Codec {
 public:
  enum class Kind : uint8_t { request, response };
  enum class Step : uint8_t {
    need_more,  // input is used up
    head,       // head() is valid
    body,       // body() is valid until the next call
    trailers,  // trailers() is valid: raw field lines of a chunked message, forbidden names already
               // left out
    end,       // the message is complete
    upgrade,  // replies only, instead of `end`, after 101 or a 2xx to CONNECT: the rest is not HTTP
              // and stays in `input`. A request gives `end` even if it asks for an upgrade: whether
              // it happens is the other side's to say
    failed,   // fault() says why; the connection is unusable
  };

  H1Codec(Kind kind, const HttpLimits& limits);
  ~H1Codec();
  H1Codec(H1Codec&&) noexcept;
  H1Codec& operator=(H1Codec&&) noexcept;

  [[nodiscard]] Step next(std::string_view& input);
  /// The peer's end of stream: `end` when that completes a close-delimited body, `failed` when a
  /// message was cut, `need_more` when idle.
  [[nodiscard]] Step finish();

  [[nodiscard]] const MessageHead& head() const noexcept;
  [[nodiscard]] std::string_view body() const noexcept;
  [[nodiscard]] std::string_view trailers() const noexcept;
  [[nodiscard]] const HttpFault& fault() const noexcept;

  /// Copies the head out of the receive buffer (if it is still there), so that head() stays valid
  /// until next_message().
  void keep_head();
  /// As new: for another connection. Allocates nothing.
  void start_over(const HttpLimits& limits);
  /// Ready for the next message on the same connection.
  void next_message();
  /// Responses only, before feeding one: a reply to HEAD has no body; to CONNECT a 2xx turns into a
  /// tunnel.
  void expect_reply_to(std::string_view method) noexcept;
  /// True while no byte of a message has been seen: closing now cuts nothing.
  [[nodiscard]] bool at_message_start() const noexcept;
  /// Frees what an idle connection does not need.
  void release_buffers() noexcept;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::net
