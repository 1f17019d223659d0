// tls_connect.cc: a TCP connection and a handshake as one Connector.
#include <algorithm>
#include <utility>

#include "net/io/loop.h"
#include "net/io/tls_stream.h"

namespace hms::net {
namespace {

class TlsConnector final : public Connector, private StreamHandler {
 public:
  TlsConnector(Loop& loop, const SocketAddress& address, Millis timeout, TlsContextPtr context,
               std::string server_name, OnConnect on_connect)
      : loop_(loop),
        context_(std::move(context)),
        server_name_(std::move(server_name)),
        until_(loop.now_millis() + static_cast<uint64_t>(std::max<int64_t>(timeout.count(), 0))),
        on_connect_(std::move(on_connect)),
        tcp_(Connector::connect(loop, address, timeout,
                                [this](Result<std::unique_ptr<Stream>> connected) {
                                  on_connected(std::move(connected));
                                })) {}

  ~TlsConnector() override {
    if (stream_ != nullptr) stream_->set_handler(nullptr);
  }

 private:
  void on_connected(Result<std::unique_ptr<Stream>> connected) {
    if (!connected) {
      answer(std::move(connected).error());
      return;
    }
    const uint64_t now = loop_.now_millis();
    const Millis left{now < until_ ? static_cast<int64_t>(until_ - now) : 1};
    stream_ = wrap_tls_client(loop_, std::move(connected).value(), context_, server_name_, left);
    stream_->set_handler(this);
    stream_->on_established([this] {
      stream_->set_handler(nullptr);
      answer(std::unique_ptr<Stream>(std::move(stream_)));
    });
  }

  void on_bytes(std::string_view) override {}  // it is paused
  void on_eof() override {}
  void on_closed(const Error& error) override {
    Error told = error;
    if (told.code == Code::timeout) told.code = Code::connect_timeout;
    loop_.retire(std::move(stream_));
    answer(std::move(told));
  }

  void answer(Result<std::unique_ptr<Stream>> result) {
    const OnConnect on_connect = std::move(on_connect_);
    on_connect(std::move(result));  // may destroy this
  }

  Loop& loop_;
  TlsContextPtr context_;
  std::string server_name_;
  uint64_t until_;
  OnConnect on_connect_;
  std::unique_ptr<Connector> tcp_;
  std::unique_ptr<TlsStream> stream_;
};

}  // namespace

std::unique_ptr<Connector> connect_tls(Loop& loop, const SocketAddress& address, Millis timeout,
                                       TlsContextPtr context, std::string server_name,
                                       Connector::OnConnect on_connect) {
  return std::make_unique<TlsConnector>(loop, address, timeout, std::move(context),
                                        std::move(server_name), std::move(on_connect));
}

}  // namespace hms::net
