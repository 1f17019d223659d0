#include "net/http/server_reply.h"

#include <utility>

#include "net/http/server_connection.h"

namespace hms::net {

ServerReply::ServerReply(ServerConnection* connection) : connection_(connection) {
  connection_->reply_ = this;
}

ServerReply::~ServerReply() {
  if (connection_ != nullptr) detach()->reply_abandoned(started_);
}

void ServerReply::send(int status, std::string_view content_type, std::string body, Headers extra) {
  if (connection_ == nullptr || started_) return;
  detach()->send_whole(status, content_type, std::move(body), extra);
}

void ServerReply::start(int status, std::string_view content_type, Headers extra) {
  if (connection_ == nullptr || started_) return;
  started_ = true;
  connection_->start_stream(status, content_type, extra);
}

bool ServerReply::write(std::string_view piece) {
  return connection_ != nullptr && started_ && connection_->write_piece(piece);
}

void ServerReply::finish() {
  if (connection_ == nullptr || !started_) return;
  detach()->finish_stream();
}

size_t ServerReply::queued_bytes() const noexcept {
  return connection_ == nullptr ? 0 : connection_->stream_->queued_bytes();
}

bool ServerReply::accepts_gzip() const noexcept {
  return connection_ != nullptr && connection_->gzip_accepted_;
}

void ServerReply::caller_left() {
  detach();
  gone_ = true;
  if (auto callback = std::exchange(on_gone_, nullptr)) callback();
}

ServerConnection* ServerReply::detach() noexcept {
  connection_->reply_ = nullptr;
  return std::exchange(connection_, nullptr);
}

}  // namespace hms::net
