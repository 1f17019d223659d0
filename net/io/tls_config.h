// tls_config.h: the `tls:` block of a configuration file, the same for every listener and caller.
//
//   tls: {certificate: shop.pem, key: shop.key, ca: ca.pem, verify: required,
//         names: ["spiffe://mesh/*"]}
//
// Errors go to the node: file, line, key. Whether the files can be read is TlsContext's to say.
#pragma once

#include "net/core/yaml_reader.h"
#include "net/io/tls_context.h"

namespace hms::net {

/// Reads and finishes the block; `settings.role` is set by the caller before. False if the block is
/// absent. A caller (role client) verifies unless told otherwise, a listener does not; ALPN is
/// http/1.1.
bool read_tls(const YamlNode& node, TlsSettings& settings);

/// As the key `verify` has it.
[[nodiscard]] const char* tls_verify_name(TlsVerify verify) noexcept;

}  // namespace hms::net
