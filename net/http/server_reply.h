// server_reply.h: the Reply that a handler holds: passes its calls on to the connection as long as
// that waits for them, and is harmless afterwards. Owner: the handler (shared). The connection and
// its reply know each other, and forget each other at the answer or at the caller's end, whichever
// is first. Thread: the loop's. Private to net/http.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "net/http/server.h"

namespace hms::net {

class ServerConnection;

class ServerReply final : public Reply {
 public:
  explicit ServerReply(ServerConnection* connection);
  ~ServerReply() override;

  void send(int status, std::string_view content_type, std::string body, Headers extra) override;
  void start(int status, std::string_view content_type, Headers extra) override;
  bool write(std::string_view piece) override;
  void finish() override;
  [[nodiscard]] bool gone() const noexcept override { return gone_; }
  [[nodiscard]] size_t queued_bytes() const noexcept override;
  [[nodiscard]] bool accepts_gzip() const noexcept override;
  void on_gone(std::function<void()> callback) override { on_gone_ = std::move(callback); }

  /// The connection is lost before the answer was complete.
  void caller_left();
  ServerConnection* detach() noexcept;

 private:
  ServerConnection* connection_;  // null once answered or gone
  std::function<void()> on_gone_;
  bool started_ = false;
  bool gone_ = false;
};

}  // namespace hms::net
