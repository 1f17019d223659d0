// tls_context.h: who we are to TLS peers and whom we believe: certificates, verification, protocol.
//
// A TlsContext is made from files and never changes; connections keep the one they began with. A
// TlsSource holds the one in force: reload() makes a new one when the files changed, and a reload
// that fails leaves the old one. TLS 1.2 and newer; tickets on; no renegotiation, no compression,
// no early data. Thread: any (values and shared_ptr; the mutexes are taken per handshake, never per
// record). Only net/io/tls_* knows OpenSSL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/core/result.h"
#include "net/io/loop.h"

namespace hms::net {

enum class TlsRole : uint8_t { server, client };

enum class TlsVerify : uint8_t {
  none,      // the peer's certificate is not asked for (server) or not looked at (client)
  optional,  // server: a caller may come without one; what it shows must be good
  required,
};

struct TlsSettings {
  TlsRole role = TlsRole::server;
  std::string certificate_file{};  // PEM: the leaf, then intermediates; a server needs one
  std::string key_file{};          // PEM, not encrypted
  std::string ca_file{};           // PEM bundle of authorities; empty: those of the system
  TlsVerify verify = TlsVerify::none;
  /// Who the peer may be; one must match. "spiffe://domain/path", "spiffe://domain/path/*" (any
  /// rest), a DNS name, "*.domain" (one label). A client without any checks the name it calls.
  std::vector<std::string> peer_names{};
  std::vector<std::string> alpn{};  // in order of preference; empty: no ALPN

  bool operator==(const TlsSettings&) const = default;
};

/// What can be said without reading the files. Errors: bad_config.
[[nodiscard]] Result<void> check_tls_settings(const TlsSettings& settings);

class TlsContext {
 public:
  /// Reads the files. Errors: bad_config with the file and what is wrong with it.
  static Result<std::shared_ptr<const TlsContext>> make(const TlsSettings& settings);
  virtual ~TlsContext() = default;

  [[nodiscard]] virtual const TlsSettings& settings() const noexcept = 0;
  /// The end of the certificate's life, in Unix seconds; 0 without a certificate.
  [[nodiscard]] virtual int64_t not_after_seconds() const noexcept = 0;
  /// Of our own certificate: its SPIFFE URI, else its first DNS name, else empty.
  [[nodiscard]] virtual const std::string& own_name() const noexcept = 0;

 protected:
  TlsContext() = default;
};

using TlsContextPtr = std::shared_ptr<const TlsContext>;

/// The context in force, for listeners and dialers on any thread.
class TlsSource {
 public:
  /// Errors: as TlsContext::make.
  static Result<std::shared_ptr<TlsSource>> open(TlsSettings settings);

  [[nodiscard]] TlsContextPtr get() const;
  /// Reads the files anew. On an error the context in force stays.
  Result<void> reload();
  [[nodiscard]] const TlsSettings& settings() const noexcept { return settings_; }

 private:
  explicit TlsSource(TlsSettings settings, TlsContextPtr first)
      : settings_(std::move(settings)), current_(std::move(first)) {}

  const TlsSettings settings_;
  mutable std::mutex mutex_;
  TlsContextPtr current_;  // guarded by mutex_
};

/// Reloads a source when its files change on disk (seen within about 1 s), and says so in the log.
/// Thread: the loop's.
class TlsWatch {
 public:
  /// `on_reload`, if given, hears of each attempt. The watch keeps the source alive.
  static std::unique_ptr<TlsWatch> watch(
      Loop& loop, std::shared_ptr<TlsSource> source,
      std::function<void(const Result<void>& outcome)> on_reload = nullptr);
  virtual ~TlsWatch() = default;
};

}  // namespace hms::net
