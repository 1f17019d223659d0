// tls_bio.h: how OpenSSL reaches a TLS stream's encrypted side: it reads from what the inner stream
// delivered and writes into the loop's cipher slab. A BIO of our own: a pair of memory BIOs would
// copy everything twice. Thread: the loop's. Private to net/io/tls_*.
#pragma once

#include <openssl/bio.h>

#include <memory>
#include <string_view>

#include "net/io/stream.h"
#include "net/io/tls_scratch.h"

namespace hms::net {

/// The encrypted side of one TLS stream.
struct TlsWire {
  std::unique_ptr<Stream> inner;
  TlsScratch& scratch;
  std::string_view input;  // of the delivery under way, not yet read by OpenSSL

  /// Sends what OpenSSL has written.
  void flush() { scratch.flush_cipher(*inner); }
};

/// `wire` must stay where it is for as long as the BIO lives.
[[nodiscard]] BIO* make_tls_bio(TlsWire& wire);

}  // namespace hms::net
