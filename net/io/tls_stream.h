// tls_stream.h: TLS over another Stream: itself a Stream, so what is above need not know.
//
//   handshake --> open --close_notify in--> peer ended --+--> closed
//        \            \--our close_notify out-----------/
//         \--> failed (Code::tls, a sentence that says why)
//
// Bytes written before the handshake is over wait and count as queued. An end of the connection
// without close_notify is a truncation: on_closed (Code::closed), never on_eof. Destroying a stream
// without shutdown_write sends no close_notify: the peer sees that it was cut.
// Memory: records are decrypted into the loop's one plain slab and encrypted through its one cipher
// slab; OpenSSL's own two buffers per connection (34 KiB) are kept for the 128 streams used last
// on a loop and freed after a second of rest. Thread: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/io/loop.h"
#include "net/io/stream.h"
#include "net/io/tcp.h"
#include "net/io/tls_context.h"
#include "net/io/tls_names.h"

namespace hms::net {

/// Who is at the other end, by its certificate.
struct TlsPeer {
  CertificateNames names;
  std::string name;       // names.identity(); empty without a certificate
  std::string subject;    // "CN=shop,O=example", for people
  bool verified = false;  // its chain leads to an authority of ours and the name was allowed
};

class TlsStream : public Stream {
 public:
  /// The handshake is over and the peer was accepted.
  [[nodiscard]] virtual bool established() const noexcept = 0;
  [[nodiscard]] virtual TlsPeer peer_identity() const = 0;
  [[nodiscard]] virtual std::string_view alpn() const noexcept = 0;      // empty: none agreed
  [[nodiscard]] virtual std::string_view protocol() const noexcept = 0;  // "TLSv1.3"
  [[nodiscard]] virtual bool resumed() const noexcept = 0;
  /// Called once when the handshake is over, before any byte is delivered; never from inside this
  /// call. A failure comes as on_closed instead.
  virtual void on_established(std::function<void()> callback) = 0;

  TlsStream* tls() noexcept override { return this; }
};

/// Of the peer's certificate; none if it was not verified, or does not speak TLS.
[[nodiscard]] CertificateNames verified_names(Stream& stream);

inline constexpr Millis kTlsHandshakeTimeout{10'000};

/// The server's side over an accepted stream (paused, as the Acceptor hands it over). Writing and
/// reading may begin at once.
[[nodiscard]] std::unique_ptr<TlsStream> wrap_tls_server(
    Loop& loop, std::unique_ptr<Stream> stream, TlsContextPtr context,
    Millis handshake_timeout = kTlsHandshakeTimeout);

/// The client's side over a connected, paused stream. `server_name`: a DNS name (sent as SNI) or an
/// address; it is what the certificate must be for unless the settings list peer names.
[[nodiscard]] std::unique_ptr<TlsStream> wrap_tls_client(
    Loop& loop, std::unique_ptr<Stream> stream, TlsContextPtr context, std::string_view server_name,
    Millis handshake_timeout = kTlsHandshakeTimeout);

/// Connects and shakes hands; the callback gets an established, paused stream (`stream->tls()`).
/// Errors: those of Connector::connect; Code::tls. `timeout` is for both together.
[[nodiscard]] std::unique_ptr<Connector> connect_tls(Loop& loop, const SocketAddress& address,
                                                     Millis timeout, TlsContextPtr context,
                                                     std::string server_name,
                                                     Connector::OnConnect on_connect);

}  // namespace hms::net
