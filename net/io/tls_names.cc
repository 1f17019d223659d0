#include "net/io/tls_names.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "net/core/ascii.h"
#include "net/io/tls_openssl.h"

namespace hms::net {
namespace {

constexpr std::string_view kSpiffe = "spiffe://";
constexpr std::string_view kAnyRest = "/*", kAnyLabel = "*.";
constexpr size_t kMostNames = 64;
constexpr size_t kLongestName = 2'048;

bool is_visible(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte < 0x7f;
  });
}

std::string_view text_of(const ASN1_STRING* text) noexcept {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

/// What a DNS name may be made of: "spiffe://mesh/admin" in that place is none, and must not pass
/// for a URI.
bool is_host_name(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '*';
  });
}

void add_visible(std::vector<std::string>& list, std::string_view text) {
  if (is_visible(text) && list.size() < kMostNames) list.emplace_back(text);
}

std::string one_line(const X509_NAME* name) {
  std::string text;
  BIO* const out = BIO_new(BIO_s_mem());
  // RFC 2253 escapes what is not printable.
  if (out != nullptr && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0) {
    char* data = nullptr;
    const long length = BIO_get_mem_data(out, &data);
    if (length > 0) text.assign(data, static_cast<size_t>(std::min(length, 512L)));
  }
  BIO_free(out);
  return text;
}

bool is_uri(std::string_view wanted, std::string_view uri) noexcept {
  if (!uri.starts_with(kSpiffe)) return false;
  if (!wanted.ends_with(kAnyRest)) return uri == wanted;
  wanted.remove_suffix(1);  // the '/' stays: "shop/*" is not "shopping"
  return uri.size() > wanted.size() && uri.starts_with(wanted);
}

/// "cart.mesh" -> ".mesh"; nothing if there is no dot, or no label before it.
std::string_view behind_first_label(std::string_view name) noexcept {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view{} : name.substr(dot);
}

bool is_dns_name(std::string_view wanted, std::string_view name, CertificateStar star) noexcept {
  if (equals_ignoring_case(wanted, name)) return true;
  const std::string_view domain = behind_first_label(name);
  if (domain.empty()) return false;
  if (wanted.starts_with(kAnyLabel)) return equals_ignoring_case(wanted.substr(1), domain);
  // "*.com" stands for nobody.
  return star == CertificateStar::one_label && name.starts_with(kAnyLabel) &&
         domain.find('.', 1) != std::string_view::npos &&
         equals_ignoring_case(behind_first_label(wanted), domain);
}

}  // namespace

bool CertificateNames::is_for(std::string_view name, CertificateStar star) const noexcept {
  if (name.starts_with(kSpiffe)) return uris.size() == 1 && is_uri(name, uris.front());
  const auto same = [&](const std::string& one) { return is_dns_name(name, one, star); };
  return std::any_of(dns.begin(), dns.end(), same) ||
         std::find(addresses.begin(), addresses.end(), name) != addresses.end();
}

std::string CertificateNames::identity() const {
  if (uris.size() == 1 && uris.front().starts_with(kSpiffe)) return uris.front();
  return dns.empty() ? std::string() : dns.front();
}

std::string CertificateNames::list() const {
  std::string text;
  for (const auto* group : {&uris, &dns, &addresses}) {
    for (const std::string& name : *group) {
      if (text.size() > 300) return text + ", ...";
      if (!text.empty()) text += ", ";
      text += name;
    }
  }
  return text.empty() ? "nothing" : text;
}

CertificateNames names_of(const X509* certificate) {
  CertificateNames names;
  auto* const found = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(found); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(found, i);
    if (name->type == GEN_URI) {
      // An invisible byte must not make two URIs one.
      if (names.uris.size() < kMostNames) {
        names.uris.emplace_back(is_visible(text_of(name->d.uniformResourceIdentifier))
                                    ? text_of(name->d.uniformResourceIdentifier)
                                    : "(not a URI)");
      }
    } else if (name->type == GEN_DNS) {
      if (is_host_name(text_of(name->d.dNSName))) add_visible(names.dns, text_of(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      const std::string_view bytes = text_of(name->d.iPAddress);
      char text[INET6_ADDRSTRLEN] = "";
      if (bytes.size() == 4 || bytes.size() == 16) {
        inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof(text));
        add_visible(names.addresses, text);
      }
    }
  }
  GENERAL_NAMES_free(found);
  return names;
}

std::string subject_of(const X509* certificate) {
  return one_line(X509_get_subject_name(certificate));
}

std::string issuer_of(const X509* certificate) {
  return one_line(X509_get_issuer_name(certificate));
}

bool is_peer_name(std::string_view text) noexcept {
  if (!is_visible(text) || text.size() > kLongestName) return false;
  if (text.starts_with(kSpiffe)) {
    text.remove_prefix(kSpiffe.size());
    if (text.ends_with(kAnyRest)) text.remove_suffix(1);
    return !text.empty() && text.front() != '/' && text.find('*') == std::string_view::npos;
  }
  if (text.starts_with(kAnyLabel)) text.remove_prefix(kAnyLabel.size());
  return !text.empty() && text.front() != '.' && text.find_first_of("*/") == std::string_view::npos;
}

bool certificate_is_for(X509* certificate, const CertificateNames& names, const std::string& name) {
  if (names.is_for(name)) return true;
  if (name.starts_with(kSpiffe) || name.starts_with(kAnyLabel)) return false;
  if (X509_check_ip_asc(certificate, name.c_str(), 0) == 1) return true;
  // The subject's common name stopped being a host name long ago (RFC 9110, section 4.3.4).
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return X509_check_host(certificate, name.data(), name.size(), kFlags, nullptr) == 1;
}

}  // namespace hms::net
