// tls_pair.h: two ends of a real TLS connection on one loop, with certificates made for the test.
#pragma once

#include <memory>
#include <string>

#include "net/io/tls_stream.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tls_certificates.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {

/// As Recorder, and keeps the sentence of the end.
struct TlsRecorder : Recorder {
  std::string why;
  void on_closed(const Error& error) override {
    why = error.detail;
    Recorder::on_closed(error);
  }
};

/// `up` calls `down`. Change the settings before `connect`.
struct TlsPair {
  TlsPair() {
    server = {.role = TlsRole::server,
              .certificate_file = leaf.certificate_file,
              .key_file = leaf.key_file};
    client = {.role = TlsRole::client, .ca_file = authority.file(), .verify = TlsVerify::required};
    auto result = Acceptor::listen(loop, SocketAddress::parse("127.0.0.1:0").value(), {},
                                   [this](std::unique_ptr<Stream> stream) {
                                     down = wrap_tls_server(loop, std::move(stream), server_context,
                                                            handshake_timeout);
                                     down->set_handler(&down_saw);
                                   });
    REQUIRE(result.ok());
    acceptor = std::move(result).value();
  }

  static TlsContextPtr context(const TlsSettings& settings) {
    auto made = TlsContext::make(settings);
    if (!made) FAIL(made.error().detail);
    return std::move(made).value();
  }

  void make_contexts() {
    if (server_context == nullptr) server_context = context(server);
    if (client_context == nullptr) client_context = context(client);
  }

  /// Mutual TLS: the server wants a certificate, and the caller shows one for `names`.
  void require_caller(const std::string& names) {
    const auto caller = authority.issue("caller", {.names = names});
    server.verify = TlsVerify::required;
    server.ca_file = authority.file();
    client.certificate_file = caller.certificate_file;
    client.key_file = caller.key_file;
  }

  /// Over when both ends are open, or the caller's end failed.
  void connect(const std::string& name = "localhost") {
    make_contexts();
    up.reset();
    down.reset();
    failure.clear();
    connector = connect_tls(loop, acceptor->local(), kLong, client_context, name,
                            [this](Result<std::unique_ptr<Stream>> result) {
                              if (!result) {
                                failure = result.error().detail;
                                code = result.error().code;
                                return;
                              }
                              up = std::move(result).value();
                              up->set_handler(&up_saw);
                            });
    REQUIRE(until([&] {
      return !failure.empty() ||
             (up != nullptr && down != nullptr && (down->established() || down_saw.closed > 0));
    }));
  }

  void resume() {
    up->resume_reading();
    down->resume_reading();
  }

  /// A plain connection to the TLS port.
  void connect_plain() {
    make_contexts();
    connector = Connector::connect(loop, acceptor->local(), kLong,
                                   [this](Result<std::unique_ptr<Stream>> result) {
                                     REQUIRE(result.ok());
                                     up = std::move(result).value();
                                     up->set_handler(&up_saw);
                                     up->resume_reading();
                                   });
    REQUIRE(until([&] { return up != nullptr && down != nullptr; }));
  }

  bool until(const std::function<bool()>& done) { return loop.run_until(done, kLong); }

  test::TemporaryDirectory folder;
  test::Authority authority{folder.path(), "first"};
  test::Certificate leaf = authority.issue("leaf");
  TlsSettings server;
  TlsSettings client;
  TlsContextPtr server_context;
  TlsContextPtr client_context;
  Millis handshake_timeout = kLong;
  Loop loop;
  TlsRecorder up_saw;
  TlsRecorder down_saw;
  std::string failure;
  Code code = Code::io;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Connector> connector;
  std::unique_ptr<Stream> up;
  std::unique_ptr<TlsStream> down;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace hms::net
