// tls_openssl.h: OpenSSL's objects with owners, and what tls_*.cc share. Private to net/io/tls_*.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/io/tls_context.h"
#include "net/io/tls_names.h"

namespace hms::net {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using SslCtxPtr = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslFree<SSL_free>>;
using SslSessionPtr = std::unique_ptr<SSL_SESSION, OpensslFree<SSL_SESSION_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;

// === tls_names.cc

[[nodiscard]] CertificateNames names_of(const X509* certificate);
[[nodiscard]] std::string subject_of(const X509* certificate);
[[nodiscard]] std::string issuer_of(const X509* certificate);
/// As `names.is_for`, and if the certificate has more names than those, or the address is spelled
/// in another way, as OpenSSL says.
[[nodiscard]] bool certificate_is_for(X509* certificate, const CertificateNames& names,
                                      const std::string& name);

// === tls_errors.cc

/// What a connection's callbacks (verification, sessions) need; SSL_get_app_data gives it.
struct TlsConnection {
  const class TlsContextImpl* context = nullptr;
  std::string server_name;   // client: who is called
  std::string refused_text;  // why the peer's certificate was refused, once it was
};

/// Before a call whose failure is read from OpenSSL's error queue. Nearly always there is nothing
/// in it, and to look costs a fifth of emptying it.
inline void forget_tls_errors() noexcept {
  if (ERR_peek_error() != 0) ERR_clear_error();
}
/// Why the handshake (or a later record) failed, from OpenSSL's error queue, which is emptied.
[[nodiscard]] std::string tls_failure(const SSL* ssl, const TlsConnection& connection);
/// The text of the newest entry of OpenSSL's error queue, which is emptied.
[[nodiscard]] std::string openssl_reason();
/// In whole sentences: expired, unknown authority, ...
[[nodiscard]] std::string verification_failure(X509_STORE_CTX* store, const TlsSettings& settings);

// === tls_context.cc

class TlsContextImpl final : public TlsContext {
 public:
  TlsContextImpl(TlsSettings settings, SslCtxPtr ctx);

  [[nodiscard]] const TlsSettings& settings() const noexcept override { return settings_; }
  [[nodiscard]] int64_t not_after_seconds() const noexcept override { return not_after_; }
  [[nodiscard]] const std::string& own_name() const noexcept override { return own_name_; }
  [[nodiscard]] SSL_CTX* raw() const noexcept { return ctx_.get(); }

  /// Client: sessions to resume, per name called; at most kNames names with kPerName each. A
  /// TLS 1.3 ticket is used once.
  [[nodiscard]] SslSessionPtr take_session(const std::string& server_name) const;
  void keep_session(const std::string& server_name, SslSessionPtr session) const;

 private:
  static constexpr size_t kNames = 256;
  static constexpr size_t kPerName = 8;

  const TlsSettings settings_;
  const SslCtxPtr ctx_;
  int64_t not_after_ = 0;
  std::string own_name_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<SslSessionPtr>> sessions_;  // guarded by mutex_
};

}  // namespace hms::net
