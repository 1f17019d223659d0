// policy.h: which callers may, by the names in their certificate (net/io/tls_names.h).
//
// An empty list allows everybody; with a list a caller without a verified certificate has no names,
// and is refused. Thread: any.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "net/io/tls_names.h"

namespace hms::proxy {

[[nodiscard]] inline bool is_allowed(const std::vector<std::string>& allow,
                                     const net::CertificateNames& caller) noexcept {
  return allow.empty() || std::any_of(allow.begin(), allow.end(), [&caller](const auto& name) {
           return caller.is_for(name, net::CertificateStar::itself);
         });
}

}  // namespace hms::proxy
