#include "net/io/tls_context.h"

#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "net/core/check.h"
#include "net/core/errno_text.h"
#include "net/core/log.h"
#include "net/io/file_watch.h"
#include "net/io/tls_openssl.h"

namespace hms::net {
namespace {

constexpr off_t kLargestFile = 4 * 1024 * 1024;  // a bundle of all public authorities is 0.2 MiB
constexpr long kTicketSeconds = 3'600;

// AES-128 first: what every server chip does in hardware, and SHA-256 costs a handshake less than
// SHA-384. Only forward secrecy and authenticated ciphers.
constexpr const char* kSuites13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";

Error config_error(std::string detail) {
  return Error{.code = Code::bad_config, .detail = "tls: " + std::move(detail)};
}

Result<void> check_file(const std::string& path, std::string_view what) {
  const std::string where = std::string(what) + " " + path + ": ";
  struct stat found {};
  if (stat(path.c_str(), &found) != 0 || access(path.c_str(), R_OK) != 0)
    return config_error(where + "cannot be read: " + errno_text(errno));
  if (!S_ISREG(found.st_mode)) return config_error(where + "is not a file");
  if (found.st_size > kLargestFile) return config_error(where + "is larger than 4 MiB");
  return {};
}

Result<void> load_own_certificate(SSL_CTX* ctx, const TlsSettings& settings) {
  if (settings.certificate_file.empty()) return {};
  if (auto readable = check_file(settings.certificate_file, "certificate"); !readable)
    return readable;
  if (auto readable = check_file(settings.key_file, "key"); !readable) return readable;
  // Instead of asking on the terminal.
  SSL_CTX_set_default_passwd_cb(ctx, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(ctx, settings.certificate_file.c_str()) != 1) {
    return config_error("certificate " + settings.certificate_file +
                        ": is not a chain of PEM certificates: " + openssl_reason());
  }
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey_file(ctx, settings.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long error = ERR_peek_error();
    if (ERR_GET_LIB(error) == ERR_LIB_X509 && ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH) {
      ERR_clear_error();
      return config_error("key " + settings.key_file + ": does not match the certificate " +
                          settings.certificate_file);
    }
    return config_error(
        "key " + settings.key_file +
        ": is not a plain PEM private key (an encrypted one cannot be used): " + openssl_reason());
  }
  if (SSL_CTX_check_private_key(ctx) != 1) {
    ERR_clear_error();
    return config_error("key " + settings.key_file + ": does not match the certificate " +
                        settings.certificate_file);
  }
  return {};
}

Result<void> load_authorities(SSL_CTX* ctx, const TlsSettings& settings) {
  if (settings.verify == TlsVerify::none) return {};
  if (settings.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);
    return {};
  }
  if (auto readable = check_file(settings.ca_file, "ca"); !readable) return readable;
  if (SSL_CTX_load_verify_file(ctx, settings.ca_file.c_str()) != 1) {
    return config_error("ca " + settings.ca_file +
                        ": holds no PEM certificate: " + openssl_reason());
  }
  return {};
}

TlsConnection& connection_of(const SSL* ssl) noexcept {
  return *static_cast<TlsConnection*>(SSL_get_app_data(ssl));
}

bool name_is_allowed(X509* certificate, TlsConnection& connection) {
  const TlsSettings& settings = connection.context->settings();
  std::vector<std::string> allowed = settings.peer_names;
  if (allowed.empty()) {
    if (settings.role == TlsRole::server) return true;  // whoever the authority signed
    allowed.push_back(connection.server_name);
  }
  const CertificateNames names = names_of(certificate);
  std::string wanted;
  for (const std::string& name : allowed) {
    if (certificate_is_for(certificate, names, name)) return true;
    if (wanted.size() < 300) wanted += (wanted.empty() ? "" : " or ") + name;
  }
  connection.refused_text = "the certificate is for " + names.list() + ", expected " + wanted;
  return false;
}

/// OpenSSL asks for each certificate of the chain, the leaf last.
int on_verify(int ok, X509_STORE_CTX* store) {
  const auto* const ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsConnection& connection = connection_of(ssl);
  if (ok != 1) {
    connection.refused_text = verification_failure(store, connection.context->settings());
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(store) > 0) return 1;
  if (name_is_allowed(X509_STORE_CTX_get_current_cert(store), connection)) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
  return 0;
}

int on_new_session(SSL* ssl, SSL_SESSION* session) {
  const TlsConnection& connection = connection_of(ssl);
  connection.context->keep_session(connection.server_name, SslSessionPtr(session));
  return 1;  // taken
}

bool is_over(const X509* certificate) {
  return X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
}

/// A resumed session skips verification, and each one brings a new ticket: without this look a
/// caller would be believed for ever after its certificate's end. Names and authorities need none:
/// tickets are this context's own, and new settings make a new one.
SSL_TICKET_RETURN on_ticket(SSL*, SSL_SESSION* session, const unsigned char*, size_t,
                            SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  const X509* const caller = SSL_SESSION_get0_peer(session);
  if (caller != nullptr && is_over(caller)) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

int on_select_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned offered_length, void*) {
  const auto& ours = connection_of(ssl).context->settings().alpn;
  const std::string_view theirs(reinterpret_cast<const char*>(offered), offered_length);
  for (const std::string& protocol : ours) {
    for (size_t at = 0; at < theirs.size();) {
      const size_t length = static_cast<unsigned char>(theirs[at]);
      const std::string_view one = theirs.substr(at + 1, length);
      if (one == protocol) {
        *out = offered + at + 1;
        *out_length = static_cast<unsigned char>(one.size());
        return SSL_TLSEXT_ERR_OK;
      }
      at += 1 + length;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301: no_application_protocol
}

void set_protocol(SSL_CTX* ctx) {
  HMS_ENSURE(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  HMS_ENSURE(SSL_CTX_set_ciphersuites(ctx, kSuites13) == 1);
  HMS_ENSURE(SSL_CTX_set_cipher_list(ctx, kCiphers12) == 1);
  HMS_ENSURE(SSL_CTX_set1_groups_list(ctx, kGroups) == 1);
  SSL_CTX_set_timeout(ctx, kTicketSeconds);
}

void set_sessions(SSL_CTX* ctx, TlsRole role) {
  if (role == TlsRole::server) {
    // Tickets only: they need no memory and no lock. One of them; OpenSSL's two cost a record more.
    constexpr unsigned char kId[] = "hms";
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, kId, sizeof(kId) - 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_ticket_cb(ctx, nullptr, on_ticket, nullptr);
  } else {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
  }
}

void set_verification(SSL_CTX* ctx, const TlsSettings& settings) {
  switch (settings.verify) {
    case TlsVerify::none:
      SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
      return;
    case TlsVerify::optional:
      SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
      return;
    case TlsVerify::required:
      SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
      return;
  }
}

void set_alpn(SSL_CTX* ctx, const TlsSettings& settings) {
  if (settings.alpn.empty()) return;
  if (settings.role == TlsRole::server) {
    SSL_CTX_set_alpn_select_cb(ctx, on_select_alpn, nullptr);
  } else {
    const std::string wire = alpn_wire(settings.alpn);
    SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()));
  }
}

}  // namespace

// === TlsContext

Result<void> check_tls_settings(const TlsSettings& settings) {
  const bool server = settings.role == TlsRole::server;
  if (settings.certificate_file.empty() != settings.key_file.empty())
    return config_error("certificate and key go together: one of them is missing");
  if (server && settings.certificate_file.empty())
    return config_error("a listener needs a certificate and a key");
  if (server && settings.verify != TlsVerify::none && settings.ca_file.empty())
    return config_error("verifying callers needs ca: the file of the authorities that sign them");
  if (!server && settings.verify == TlsVerify::optional)
    return config_error("verify: optional is for listeners; a caller says required or none");
  if (settings.verify == TlsVerify::none && !settings.peer_names.empty())
    return config_error("names are only checked when verify is required (or optional)");
  for (const std::string& name : settings.peer_names) {
    if (!is_peer_name(name)) {
      return config_error("'" + name +
                          "' is no name of a peer; use \"spiffe://domain/path\", "
                          "\"spiffe://domain/path/*\", a DNS name or \"*.domain\"");
    }
  }
  for (const std::string& protocol : settings.alpn) {
    if (protocol.empty() || protocol.size() > 255)
      return config_error("an ALPN protocol has 1 to 255 characters");
  }
  if (settings.alpn.size() > 16) return config_error("more than 16 ALPN protocols");
  return {};
}

Result<TlsContextPtr> TlsContext::make(const TlsSettings& settings) {
  if (auto valid = check_tls_settings(settings); !valid) return std::move(valid).error();
  ERR_clear_error();
  SslCtxPtr ctx(
      SSL_CTX_new(settings.role == TlsRole::server ? TLS_server_method() : TLS_client_method()));
  HMS_ENSURE(ctx != nullptr);
  set_protocol(ctx.get());
  if (auto loaded = load_own_certificate(ctx.get(), settings); !loaded)
    return std::move(loaded).error();
  if (auto loaded = load_authorities(ctx.get(), settings); !loaded)
    return std::move(loaded).error();
  set_verification(ctx.get(), settings);
  set_sessions(ctx.get(), settings.role);
  set_alpn(ctx.get(), settings);
  ERR_clear_error();
  return TlsContextPtr(std::make_shared<TlsContextImpl>(settings, std::move(ctx)));
}

TlsContextImpl::TlsContextImpl(TlsSettings settings, SslCtxPtr ctx)
    : settings_(std::move(settings)), ctx_(std::move(ctx)) {
  const X509* const own = SSL_CTX_get0_certificate(ctx_.get());
  if (own == nullptr) return;
  own_name_ = names_of(own).identity();
  tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(own), &end) == 1) not_after_ = timegm(&end);
}

SslSessionPtr TlsContextImpl::take_session(const std::string& server_name) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(server_name);
  if (found == sessions_.end()) return nullptr;
  std::erase_if(found->second, [](const SslSessionPtr& session) {
    const X509* const called = SSL_SESSION_get0_peer(session.get());
    return called != nullptr && is_over(called);
  });
  if (found->second.empty()) return nullptr;
  SslSessionPtr& newest = found->second.back();
  // A TLS 1.2 session may be resumed again and no new one comes with it: a copy is handed out, as
  // sessions in use are changed by their connection.
  if (SSL_SESSION_get_protocol_version(newest.get()) < TLS1_3_VERSION)
    return SslSessionPtr(SSL_SESSION_dup(newest.get()));
  SslSessionPtr taken = std::move(newest);
  found->second.pop_back();
  return taken;
}

void TlsContextImpl::keep_session(const std::string& server_name, SslSessionPtr session) const {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kNames && !sessions_.contains(server_name)) sessions_.clear();
  auto& list = sessions_[server_name];
  if (list.size() >= kPerName) list.erase(list.begin());
  list.push_back(std::move(session));
}

// === TlsSource

Result<std::shared_ptr<TlsSource>> TlsSource::open(TlsSettings settings) {
  auto first = TlsContext::make(settings);
  if (!first) return std::move(first).error();
  return std::shared_ptr<TlsSource>(new TlsSource(std::move(settings), std::move(first).value()));
}

TlsContextPtr TlsSource::get() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

Result<void> TlsSource::reload() {
  auto next = TlsContext::make(settings_);
  if (!next) return std::move(next).error();
  const std::lock_guard lock(mutex_);
  current_.swap(*next);
  return {};
}

// === TlsWatch

namespace {

class FileTlsWatch final : public TlsWatch {
 public:
  FileTlsWatch(Loop& loop, std::shared_ptr<TlsSource> source,
               std::function<void(const Result<void>&)> on_reload)
      : source_(std::move(source)), on_reload_(std::move(on_reload)) {
    const TlsSettings& settings = source_->settings();
    for (const std::string* path :
         {&settings.certificate_file, &settings.key_file, &settings.ca_file}) {
      if (!path->empty()) watches_.push_back(FileWatch::watch(loop, *path, [this] { reload(); }));
    }
  }

 private:
  void reload() {
    const auto outcome = source_->reload();
    if (outcome) {
      const auto context = source_->get();
      log_info("certificates read anew", {{"certificate", context->settings().certificate_file},
                                          {"ca", context->settings().ca_file},
                                          {"name", context->own_name()},
                                          {"not_after", context->not_after_seconds()}});
    } else {
      // Often only for a moment: the certificate is replaced before its key.
      log_warn("certificates could not be read anew: the old ones stay",
               {{"error", outcome.error().detail}});
    }
    if (on_reload_) on_reload_(outcome);
  }

  std::shared_ptr<TlsSource> source_;
  std::function<void(const Result<void>&)> on_reload_;
  std::vector<std::unique_ptr<FileWatch>> watches_;
};

}  // namespace

std::unique_ptr<TlsWatch> TlsWatch::watch(Loop& loop, std::shared_ptr<TlsSource> source,
                                          std::function<void(const Result<void>&)> on_reload) {
  return std::make_unique<FileTlsWatch>(loop, std::move(source), std::move(on_reload));
}

}  // namespace hms::net
