// sse.h: Server-Sent Events as text (WHATWG HTML, section 9.2), both ways. No value can break out
// of its line: CR, LF and NUL in an event name or id are refused, in data they become further
// `data:` lines.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hms::net {

/// One event as it goes on the wire. `event` and `id` may be empty (then the line is left out);
/// refused ones are left out, too.
[[nodiscard]] std::string sse_event(std::string_view event, std::string_view id,
                                    std::string_view data);
/// ": text\n\n"; keeps a connection warm.
[[nodiscard]] std::string sse_comment(std::string_view text);

/// Splits a stream of bytes into events. An event larger than 1 MiB is dropped and counted.
class SseParser {
 public:
  struct Event {
    std::string event = "message";
    std::string id;
    std::string data;
  };
  explicit SseParser(std::function<void(const Event&)> on_event);
  void feed(std::string_view bytes);
  [[nodiscard]] uint64_t dropped() const noexcept { return dropped_; }

 private:
  void line(std::string_view text);
  std::function<void(const Event&)> on_event_;
  std::string buffer_;
  Event current_;
  bool has_data_ = false;
  bool oversized_ = false;
  bool last_was_cr_ = false;
  bool first_line_ = true;  // may begin with a byte order mark
  uint64_t dropped_ = 0;
};

}  // namespace hms::net
