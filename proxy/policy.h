// policy.h: which callers may, by the identity that their certificate proved.
//
// A list names identities: "spiffe://domain/path", "spiffe://domain/path/*" (any rest), a DNS name,
// "*.domain" (one label). An empty list allows everybody; with a list a caller without a verified
// identity is refused. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hms::proxy {

[[nodiscard]] bool is_identity_pattern(std::string_view pattern) noexcept;
/// `identity`: TlsPeer::name of a verified caller, or empty.
[[nodiscard]] bool identity_allowed(const std::vector<std::string>& allow,
                                    std::string_view identity) noexcept;

}  // namespace hms::proxy
