// Answers of the small server on their way to the caller: whole ones, streamed ones, and the bound
// on what waits for slow readers.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "net/core/log.h"
#include "net/http/compress.h"
#include "net/http/reply_text.h"
#include "net/http/server_connection.h"
#include "net/http/server_reply.h"

namespace hms::net {
namespace {

constexpr size_t kCompressFrom = 1024;
constexpr size_t kAlwaysQueued = 64 * 1024;  // errors and small answers are never refused

std::string status_line(int status) {
  std::string out;
  out.reserve(512);
  out.append("HTTP/1.1 ").append(std::to_string(std::clamp(status, 200, 999)));
  out.append(" ").append(status_reason(status)).append("\r\n");
  return out;
}

}  // namespace

void ServerConnection::append_common_fields(std::string& out, std::string_view content_type,
                                            const Headers& extra) {
  append_field(out, "Date", date_text());
  if (!content_type.empty()) append_field(out, "Content-Type", content_type);
  append_extra_fields(out, extra);
  if (close_after_) {
    out.append("Connection: close\r\n");
  } else if (old_version_) {
    out.append("Connection: keep-alive\r\n");
  }
}

/// What the reader has taken since is seen when less than the low watermark is left, when the
/// connection writes again, and here: before anybody is refused.
bool ServerConnection::has_room_for(size_t reply_bytes) {
  if (reply_bytes <= kAlwaysQueued) return true;
  const auto fits = [&] {
    return core_.counters.queued_reply_bytes + reply_bytes <= core_.options.max_queued_reply_bytes;
  };
  if (fits()) return true;
  for (const auto& [connection, owner] : core_.connections) connection->account_queue();
  return fits();
}

void ServerConnection::account_queue() {
  if (state_ == State::gone) return;
  const uint64_t before = std::exchange(queued_bytes_, stream_->queued_bytes());
  core_.counters.queued_reply_bytes += queued_bytes_ - before;
}

void ServerConnection::send_whole(int status, std::string_view content_type, std::string body,
                                  const Headers& extra) {
  if (!has_room_for(body.size())) {
    ++core_.counters.replies_refused;
    refuse({503,
            "unavailable",
            "too many answers wait for slow readers; try again",
            {{"Retry-After", "1"}}});
    return;
  }
  close_after_ = close_after_ || core_.draining;
  const bool bodyless = status == 204 || status == 304;
  std::string head = status_line(status);
  append_common_fields(head, bodyless ? std::string_view() : content_type, extra);
  if (!bodyless) {
    const bool may_compress = body.size() > kCompressFrom && is_worth_compressing(content_type) &&
                              header_value(extra, "content-encoding").empty();
    if (may_compress) {
      append_field(head, "Vary", "Accept-Encoding");
      if (gzip_accepted_) {
        body = gzip_encode(body);
        append_field(head, "Content-Encoding", "gzip");
      }
    }
    append_field(head, "Content-Length", std::to_string(body.size()));
  }
  head.append("\r\n");
  const std::array<std::string_view, 2> slices = {
      head, bodyless || head_only_ ? std::string_view() : std::string_view(body)};
  stream_->write(slices);
  watch_writes();
  end_exchange();
}

void ServerConnection::start_stream(int status, std::string_view content_type,
                                    const Headers& extra) {
  close_after_ = close_after_ || core_.draining || old_version_;
  streaming_ = true;
  std::string head = status_line(status);
  append_common_fields(head, content_type, extra);
  if (content_type.substr(0, 17) == "text/event-stream") {
    // Proxies on the way must neither keep, change nor collect events.
    if (header_value(extra, "cache-control").empty()) {
      append_field(head, "Cache-Control", "no-cache, no-transform");
    }
    append_field(head, "X-Accel-Buffering", "no");
  }
  if (!old_version_) append_field(head, "Transfer-Encoding", "chunked");
  head.append("\r\n");
  stream_->write(head);
  watch_writes();
}

bool ServerConnection::write_piece(std::string_view piece) {
  if (stream_->queued_bytes() + piece.size() > Reply::kMaxQueuedBytes) return false;
  if (piece.empty() || head_only_) return true;
  if (old_version_) {
    stream_->write(piece);
  } else {
    std::array<char, 20> size{};
    char* end = std::to_chars(size.data(), size.data() + 16, piece.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const std::array<std::string_view, 3> slices = {
        std::string_view(size.data(), static_cast<size_t>(end - size.data())), piece, "\r\n"};
    stream_->write(slices);
  }
  watch_writes();
  return true;
}

void ServerConnection::finish_stream() {
  if (!old_version_ && !head_only_) stream_->write("0\r\n\r\n");
  watch_writes();
  end_exchange();
}

/// Nobody holds the reply any more and nothing was answered, or a stream was left without its end.
void ServerConnection::reply_abandoned(bool started) {
  if (started) {
    stream_->mark_for_reset();
    drop();
    return;
  }
  log_error("a request handler gave no answer");
  refuse({500, "internal", "the request was not answered", {}});
}

void ServerConnection::end_exchange() {
  streaming_ = false;
  if (close_after_) {
    begin_closing();
    return;
  }
  state_ = State::reading;
  request_ = Request();
  refusal_.reset();
  head_only_ = old_version_ = gzip_accepted_ = false;
  codec_.next_message();
  if (running_) return;
  if (!pending_.empty()) {
    continue_timer_.arm(Millis{0});
  } else if (eof_) {
    begin_closing();
    return;
  }
  arm_for_reading();
  update_reading();
}

void ServerConnection::watch_writes() {
  account_queue();
  if (stream_->queued_bytes() == 0 || write_timer_.armed()) return;
  written_at_check_ = stream_->bytes_written();
  write_timer_.arm(core_.options.body_timeout);
}

void ServerConnection::on_write_timeout() {
  account_queue();
  if (stream_->queued_bytes() == 0) return;
  if (stream_->bytes_written() == written_at_check_) {
    ++core_.counters.timeouts;
    stream_->mark_for_reset();
    drop();
    return;
  }
  watch_writes();
}

}  // namespace hms::net
