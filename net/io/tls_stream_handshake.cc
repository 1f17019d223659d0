// A TLS stream until it is open, and who it is open to.
#include <arpa/inet.h>
#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "net/core/check.h"
#include "net/io/tls_stream_impl.h"

namespace hms::net {
namespace {

bool is_address(const std::string& name) {
  in6_addr any{};
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

}  // namespace

void OpensslTlsStream::begin_call() {
  SSL* const ssl = ssl_.get();
  SSL_set_connect_state(ssl);
  const std::string& name = connection_.server_name;
  if (!name.empty() && !is_address(name)) SSL_set_tlsext_host_name(ssl, name.c_str());
  if (const auto session = connection_.context->take_session(name); session != nullptr)
    SSL_set_session(ssl, session.get());
  forget_tls_errors();
  SSL_do_handshake(ssl);  // the ClientHello; nothing can be decided yet
  wire_.flush();
}

void OpensslTlsStream::shake_hands() {
  SSL* const ssl = ssl_.get();
  forget_tls_errors();
  const int result = SSL_do_handshake(ssl);
  if (result != 1) {
    const int error = SSL_get_error(ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
      wire_.flush();
      return;
    }
    fail_now(error);
    return;
  }
  // With TLS 1.3 the server's last act is the ticket: it goes out with the first reply.
  if (is_server() && SSL_version(ssl) == TLS1_3_VERSION &&
      wire_.scratch.cipher().size() < 8 * 1024) {
    carry_.assign(wire_.scratch.cipher());
    wire_.scratch.drop_cipher();
    // A caller with Nagle's algorithm on holds its request back until its Finished is
    // acknowledged.
    if (wire_.input.empty()) wire_.inner->acknowledge_now();
  } else {
    wire_.flush();
  }
  if (!alpn_is_ours()) {
    report(Code::tls, "the peer chose a protocol we did not offer (ALPN)");
    return;
  }
  begin_open();
}

bool OpensslTlsStream::alpn_is_ours() const {
  const auto& ours = context_->settings().alpn;
  const std::string_view chosen = alpn();
  return is_server() || chosen.empty() || std::find(ours.begin(), ours.end(), chosen) != ours.end();
}

void OpensslTlsStream::begin_open() {
  established_ = true;
  const std::unique_ptr<Handshake> done = std::move(handshake_);
  bool* const alive = alive_;
  if (done->on_established) done->on_established();
  if (!*alive || ended_ || failing_) return;
  if (!done->early.empty()) {
    const std::string_view early = done->early;
    encrypt({&early, 1});
  }
  if (shutdown_asked_) send_close_notify();
  if (above_high_ && !above_high_watermark()) {
    above_high_ = false;
    if (handler_ != nullptr) handler_->on_writable();
  }
}

void OpensslTlsStream::on_established(std::function<void()> callback) {
  HMS_ENSURE(handshake_ != nullptr);
  handshake_->on_established = std::move(callback);
}

void OpensslTlsStream::answer_plain_http() {
  // In the form of every answer that the programs make themselves (docs/errors.md).
  static constexpr std::string_view kBody =
      R"({"status":"error","errorType":"bad_request",)"
      R"("error":"the request is malformed: this port speaks TLS: use an https:// URL"})";
  wire_.inner->write(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(kBody.size()) + "\r\nx-hms-error: bad_request\r\nConnection: close\r\n\r\n" +
      std::string(kBody));
  wire_.inner->shutdown_write();
}

// === the peer

TlsPeer OpensslTlsStream::peer_identity() const {
  TlsPeer peer;
  const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return peer;
  peer.names = names_of(certificate);
  peer.name = peer.names.identity();
  peer.subject = subject_of(certificate);
  peer.verified = established_ && context_->settings().verify != TlsVerify::none &&
                  SSL_get_verify_result(ssl_.get()) == X509_V_OK;
  return peer;
}

CertificateNames verified_names(Stream& stream) {
  const TlsStream* const tls = stream.tls();
  if (tls == nullptr) return {};
  TlsPeer peer = tls->peer_identity();
  return peer.verified ? std::move(peer.names) : CertificateNames{};
}

std::string_view OpensslTlsStream::alpn() const noexcept {
  const unsigned char* chosen = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
  return {reinterpret_cast<const char*>(chosen), length};
}

std::string_view OpensslTlsStream::protocol() const noexcept { return SSL_get_version(ssl_.get()); }

bool OpensslTlsStream::resumed() const noexcept { return SSL_session_reused(ssl_.get()) == 1; }

}  // namespace hms::net
