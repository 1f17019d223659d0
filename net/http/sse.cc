#include "net/http/sse.h"

#include <utility>

namespace hms::net {
namespace {

constexpr size_t kMaxEventBytes = 1024 * 1024;
constexpr std::string_view kLineBreakers("\0\r\n", 3);

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty() || value.find_first_of(kLineBreakers) != std::string_view::npos) return;
  out.append(name).append(value).push_back('\n');
}

}  // namespace

std::string sse_event(std::string_view event, std::string_view id, std::string_view data) {
  std::string out;
  out.reserve(event.size() + id.size() + data.size() + 32);
  append_field(out, "event: ", event);
  append_field(out, "id: ", id);
  while (true) {
    const size_t end = data.find_first_of(kLineBreakers);
    out.append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) break;
    const bool crlf = data.substr(end, 2) == "\r\n";
    data.remove_prefix(end + (crlf ? 2 : 1));
  }
  out.push_back('\n');
  return out;
}

std::string sse_comment(std::string_view text) {
  std::string out = ": ";
  for (const char c : text) out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  out.append("\n\n");
  return out;
}

SseParser::SseParser(std::function<void(const Event&)> on_event) : on_event_(std::move(on_event)) {}

void SseParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (last_was_cr_ && bytes.front() == '\n') {
      last_was_cr_ = false;
      bytes.remove_prefix(1);
      continue;
    }
    last_was_cr_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (buffer_.size() + current_.data.size() + piece.size() > kMaxEventBytes) oversized_ = true;
    if (oversized_) {
      // Only what tells an empty line from a full one is still needed.
      if (buffer_.empty() && !piece.empty()) buffer_.push_back('x');
    } else {
      buffer_.append(piece);
    }
    if (end == std::string_view::npos) return;
    last_was_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    const std::string text = std::exchange(buffer_, std::string());
    line(text);
  }
}

void SseParser::line(std::string_view text) {
  if (std::exchange(first_line_, false) && text.substr(0, 3) == "\xEF\xBB\xBF") {
    text.remove_prefix(3);
  }
  if (text.empty()) {
    const bool dispatch = has_data_ && !oversized_;
    if (oversized_) ++dropped_;
    oversized_ = false;
    has_data_ = false;
    Event event = std::exchange(current_, Event());
    current_.id = event.id;  // the last event id outlives its event
    if (!dispatch) return;
    event.data.pop_back();  // each data line added its LF
    if (event.event.empty()) event.event = "message";
    on_event_(event);
    return;
  }
  if (oversized_ || text.front() == ':') return;
  const size_t colon = text.find(':');
  const std::string_view field = text.substr(0, colon);
  std::string_view value =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "data") {
    current_.data.append(value).push_back('\n');
    has_data_ = true;
  } else if (field == "event") {
    current_.event = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    current_.id = value;
  }
}

}  // namespace hms::net
