#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/io/tls_openssl.h"

namespace hms::net {
namespace {

std::string time_text(const ASN1_TIME* time) {
  tm parts{};
  char text[32] = "";
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown time";
  strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::string alert_failure(int alert) {
  switch (alert) {
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "the peer demands a certificate and we showed none; set certificate and key";
    case SSL_AD_UNKNOWN_CA:
      return "the peer does not know the authority that signed our certificate";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_ACCESS_DENIED:
      return std::string("the peer refused our certificate (alert: ") +
             SSL_alert_desc_string_long(alert) + ")";
    case SSL_AD_PROTOCOL_VERSION:
      return "the peer speaks no version of TLS that we do (1.2 and newer)";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return "the peer speaks none of the protocols we offered (ALPN)";
    case SSL_AD_UNRECOGNIZED_NAME:
      return "the peer does not serve the name we called";
    default:
      return std::string("the peer ended TLS (alert: ") + SSL_alert_desc_string_long(alert) + ")";
  }
}

}  // namespace

std::string openssl_reason() {
  const unsigned long error = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(error);
  std::string text = reason == nullptr ? "unknown fault" : reason;
  ERR_clear_error();
  return text;
}

std::string verification_failure(X509_STORE_CTX* store, const TlsSettings& settings) {
  const X509* const certificate = X509_STORE_CTX_get_current_cert(store);
  const int error = X509_STORE_CTX_get_error(store);
  const std::string authorities = settings.ca_file.empty() ? "the system" : settings.ca_file;
  const std::string who =
      certificate == nullptr ? "the peer" : "the certificate of " + subject_of(certificate);
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return who + " expired at " + time_text(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return who + " is not valid before " + time_text(X509_get0_notBefore(certificate)) +
             "; is a clock wrong?";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return who + " is signed by an unknown authority (" +
             (certificate == nullptr ? std::string("none") : issuer_of(certificate)) +
             "), which is not among those of " + authorities;
    case X509_V_ERR_INVALID_PURPOSE:
      return who + " is not meant for this use (extended key usage)";
    default:
      return who + " is not accepted: " + X509_verify_cert_error_string(error);
  }
}

std::string tls_failure(const SSL* ssl, const TlsConnection& connection) {
  // The first entry is the cause; later ones tell what it led to.
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  const bool of_ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
  if (of_ssl && reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
    ERR_clear_error();
    return alert_failure(reason - SSL_AD_REASON_OFFSET);
  }
  if (!connection.refused_text.empty()) {
    ERR_clear_error();
    return connection.refused_text;
  }
  if (!of_ssl) return openssl_reason();
  const bool server = SSL_is_server(ssl) == 1;
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      ERR_clear_error();
      return "the caller showed no certificate, and one is required";
    case SSL_R_HTTP_REQUEST:
      ERR_clear_error();
      return "plain HTTP came to a TLS port";
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
      ERR_clear_error();
      return server ? "what came is not TLS" : "what came is not TLS; does the port speak it?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
      ERR_clear_error();
      return "the peer speaks no version of TLS that we do (1.2 and newer)";
    case SSL_R_NO_SHARED_CIPHER:
      ERR_clear_error();
      return "the peer offers no cipher that we accept";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      ERR_clear_error();
      return "the peer offers none of our protocols (ALPN)";
    default:
      return openssl_reason();
  }
}

}  // namespace hms::net
