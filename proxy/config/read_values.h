// read_values.h: values that several blocks of the configuration have: switches, addresses, texts,
// `tls:` and `allow:`. Faults go to the node; the target stays as it was. Thread: as parse.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/core/yaml_reader.h"
#include "net/io/tls_config.h"
#include "proxy/config/types.h"

namespace hms::proxy {

inline constexpr Millis kLongest{24LL * 3'600 * 1'000};  // of any duration

/// "claims.yaml:12", for people.
[[nodiscard]] std::string place_of(const net::YamlNode& node);
/// on, true, yes; off, false, no.
void read_switch(const net::YamlNode& node, bool& target);
/// An address and port to listen on.
void read_address(const net::YamlNode& node, std::string& target);
/// 1 to 1,024 printable characters.
void read_text(const net::YamlNode& node, std::string& target);
/// `place`: where the block stands, for faults that show later.
void read_tls_block(const net::YamlNode& node, net::TlsRole role,
                    std::optional<net::TlsSettings>& target, net::YamlPlace* place = nullptr);
/// 1 to 1,024 identities.
void read_allow(const net::YamlNode& node, std::vector<std::string>& allow);

}  // namespace hms::proxy
