#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "net/io/tls_openssl.h"

namespace hms::net {
namespace {

constexpr std::string_view kSpiffe = "spiffe://";
constexpr size_t kMostNames = 64;  // of a certificate; what is beyond is not looked at

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

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_host(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
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

bool spiffe_matches(const CertificateNames& names, std::string_view expected) {
  if (names.uris.size() != 1) return false;
  const std::string_view uri = names.uris.front();
  if (!uri.starts_with(kSpiffe)) return false;
  if (expected.ends_with("/*")) {
    expected.remove_suffix(1);
    return uri.size() > expected.size() && uri.starts_with(expected);
  }
  return uri == expected;
}

bool wildcard_matches(const CertificateNames& names, std::string_view expected) {
  expected.remove_prefix(1);  // ".domain"
  return std::any_of(names.dns.begin(), names.dns.end(), [expected](std::string_view name) {
    const size_t dot = name.find('.');
    return dot != std::string_view::npos && dot > 0 && same_host(name.substr(dot), expected);
  });
}

}  // namespace

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

bool peer_name_is_valid(std::string_view name) noexcept {
  if (!is_visible(name) || name.size() > 2'048) return false;
  if (name.starts_with(kSpiffe)) {
    const std::string_view rest = name.substr(kSpiffe.size());
    const std::string_view domain = rest.substr(0, rest.find('/'));
    const size_t star = rest.find('*');
    return !domain.empty() && domain.find('*') == std::string_view::npos &&
           (star == std::string_view::npos || (rest.ends_with("/*") && star == rest.size() - 1));
  }
  if (name.starts_with("*.")) name.remove_prefix(2);
  return name.find_first_of("*/") == std::string_view::npos && name.front() != '.';
}

bool certificate_matches(X509* certificate, const CertificateNames& names,
                         const std::string& expected) {
  if (expected.starts_with(kSpiffe)) return spiffe_matches(names, expected);
  if (expected.starts_with("*.")) return wildcard_matches(names, expected);
  if (X509_check_ip_asc(certificate, expected.c_str(), 0) == 1) return true;
  // The subject's common name stopped being a host name long ago (RFC 9110, section 4.3.4).
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return X509_check_host(certificate, expected.data(), expected.size(), kFlags, nullptr) == 1;
}

}  // namespace hms::net
