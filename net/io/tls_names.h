// tls_names.h: what a certificate is for, and whether a name that somebody wrote into a
// configuration means it: one matcher for `names` of a `tls:` block and for lists of callers that
// may.
//
//   "spiffe://domain/path"    its URI, which must be its only one (as SPIFFE demands)
//   "spiffe://domain/path/*"  the same with any rest
//   "host.domain"             any of its DNS names, or any of its addresses
//   "*.domain"                any of its DNS names that has one label more than the domain
//
// A certificate's own "*.domain" stands for one label more (RFC 6125 section 6.4.3) where it says
// whom we reached; who may call is never told by a star.
//
// Thread: any, values. Limit: 64 names of a kind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hms::net {

/// What "*.domain" in a certificate stands for.
enum class CertificateStar : uint8_t { one_label, itself };

/// The subject's alternative names. Those with NUL or other invisible bytes are left out.
struct CertificateNames {
  std::vector<std::string> uris{};
  std::vector<std::string> dns{};
  std::vector<std::string> addresses{};

  [[nodiscard]] bool is_for(std::string_view name,
                            CertificateStar star = CertificateStar::one_label) const noexcept;
  /// What to call it: the SPIFFE URI, else the first DNS name, else nothing.
  [[nodiscard]] std::string identity() const;
  [[nodiscard]] std::string list() const;  // for people; "nothing" if empty
};

/// One of the forms above.
[[nodiscard]] bool is_peer_name(std::string_view text) noexcept;

}  // namespace hms::net
