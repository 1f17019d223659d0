#include "net/io/tls_config.h"

namespace hms::net {

bool read_tls(const YamlNode& node, TlsSettings& settings) {
  if (!node.present()) return false;
  if (!node.is_map()) {
    node.fail("expected a map, for example {certificate: shop.pem, key: shop.key, ca: ca.pem}");
    return false;
  }
  const bool server = settings.role == TlsRole::server;
  settings.alpn = {"http/1.1"};
  settings.verify = server ? TlsVerify::none : TlsVerify::required;
  node.get("certificate").read(settings.certificate_file);
  node.get("key").read(settings.key_file);
  node.get("ca").read(settings.ca_file);
  std::string verify;
  const YamlNode verification = node.get("verify");
  const bool read = server ? verification.read_choice(verify, {"none", "optional", "required"})
                           : verification.read_choice(verify, {"none", "required"});
  if (read) {
    settings.verify = verify == "none"       ? TlsVerify::none
                      : verify == "optional" ? TlsVerify::optional
                                             : TlsVerify::required;
  }
  const YamlNode names = node.get("names");
  for (const YamlNode& item : names.items()) {
    std::string name;
    if (item.read(name)) settings.peer_names.push_back(std::move(name));
  }
  if (auto valid = check_tls_settings(settings); !valid) node.fail(valid.error().detail);
  node.finish();
  return true;
}

const char* tls_verify_name(TlsVerify verify) noexcept {
  switch (verify) {
    case TlsVerify::none:
      return "none";
    case TlsVerify::optional:
      return "optional";
    case TlsVerify::required:
      return "required";
  }
  return "";
}

}  // namespace hms::net
