// tls_certificates.h: a small authority for tests: certificates as PEM files in a folder.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace hms::test {

struct Certificate {
  std::string certificate_file;
  std::string key_file;
};

/// What a certificate is asked to be.
struct CertificateRequest {
  std::string names = "DNS:localhost,IP:127.0.0.1";  // OpenSSL's form of subjectAltName
  std::string common_name = "test";
  long begins_seconds = -3'600;  // from now
  long ends_seconds = 86'400;
};

/// One authority; aborts on any fault, as only a broken test environment can cause one.
class Authority {
 public:
  Authority(std::string folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)) {
    key_ = EVP_EC_gen("P-256");
    certificate_ = make(key_, {.names = "", .common_name = name_}, true);
    write_certificate(certificate_, file());
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] std::string file() const { return folder_ + "/" + name_ + "-ca.pem"; }

  /// Writes <stem>.pem and <stem>.key, replacing them if they are there.
  Certificate issue(const std::string& stem, const CertificateRequest& request = {}) {
    const Certificate files{folder_ + "/" + stem + ".pem", folder_ + "/" + stem + ".key"};
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const leaf = make(key, request, false);
    write_certificate(leaf, files.certificate_file);
    std::FILE* const out = open(files.key_file + ".new");
    must(PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(out);
    must(std::rename((files.key_file + ".new").c_str(), files.key_file.c_str()) == 0);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return files;
  }

 private:
  static void must(bool good) {
    if (!good) std::abort();
  }

  static std::FILE* open(const std::string& path) {
    std::FILE* const out = std::fopen(path.c_str(), "w");
    must(out != nullptr);
    return out;
  }

  static void write_certificate(X509* certificate, const std::string& path) {
    std::FILE* const out = open(path + ".new");
    must(PEM_write_X509(out, certificate) == 1);
    std::fclose(out);
    must(std::rename((path + ".new").c_str(), path.c_str()) == 0);
  }

  void extend(X509* certificate, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate_ == nullptr ? certificate : certificate_, certificate,
                   nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    must(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  X509* make(EVP_PKEY* key, const CertificateRequest& request, bool authority) {
    must(key != nullptr);
    X509* const made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(made), request.begins_seconds);
    X509_gmtime_adj(X509_getm_notAfter(made), request.ends_seconds);
    X509_set_pubkey(made, key);
    X509_NAME* const subject = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(request.common_name.c_str()),
                               -1, -1, 0);
    X509_set_issuer_name(made, authority ? subject : X509_get_subject_name(certificate_));
    extend(made, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!request.names.empty()) extend(made, NID_subject_alt_name, request.names);
    must(X509_sign(made, key_, EVP_sha256()) > 0);
    return made;
  }

  std::string folder_;
  std::string name_;
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
  long serial_ = 0;
};

}  // namespace hms::test
