#include "net/io/tls_context.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "net/io/tls_config.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tls_certificates.h"

namespace hms::net {
namespace {

struct Files {
  test::TemporaryDirectory folder;
  test::Authority authority{folder.path(), "first"};
  test::Certificate leaf =
      authority.issue("leaf", {.names = "DNS:shop.example,URI:spiffe://mesh/shop"});

  [[nodiscard]] TlsSettings server() const {
    return {.role = TlsRole::server,
            .certificate_file = leaf.certificate_file,
            .key_file = leaf.key_file};
  }
  static std::string failure(const TlsSettings& settings) {
    const auto made = TlsContext::make(settings);
    return made.ok() ? std::string() : made.error().detail;
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return folder / name;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("tls_context: knows its own name and the end of its life") {
  const Files files;
  const auto made = TlsContext::make(files.server());
  REQUIRE(made.ok());
  CHECK((*made)->own_name() == "spiffe://mesh/shop");
  CHECK((*made)->not_after_seconds() > 1'700'000'000);
}

TEST_CASE("tls_context: files that are missing, mixed up or broken are told by name") {
  Files files;
  TlsSettings settings = files.server();
  SUBCASE("absent") {
    settings.certificate_file = files.folder / "nowhere.pem";
    CHECK(has(Files::failure(settings), "nowhere.pem: cannot be read: No such file"));
  }
  SUBCASE("not PEM") {
    settings.certificate_file = files.write("text.pem", "hello");
    CHECK(has(Files::failure(settings), "text.pem: is not a chain of PEM certificates"));
  }
  SUBCASE("another key") {
    settings.key_file = files.authority.issue("other").key_file;
    CHECK(has(Files::failure(settings), "other.key: does not match the certificate"));
  }
  SUBCASE("a key that is none") {
    settings.key_file = files.write("text.key", "hello");
    CHECK(has(Files::failure(settings), "text.key: is not a plain PEM private key"));
  }
  SUBCASE("no key") {
    settings.key_file.clear();
    CHECK(has(Files::failure(settings), "go together"));
  }
  SUBCASE("a folder") {
    settings.certificate_file = files.folder.path();
    CHECK(has(Files::failure(settings), "is not a file"));
  }
  SUBCASE("authorities without a certificate") {
    settings.verify = TlsVerify::required;
    settings.ca_file = files.write("ca.pem", "hello");
    CHECK(has(Files::failure(settings), "ca.pem: holds no PEM certificate"));
  }
}

TEST_CASE("tls_context: settings that would not protect are refused") {
  const Files files;
  TlsSettings settings = files.server();
  SUBCASE("verification without authorities") {
    settings.verify = TlsVerify::required;
    CHECK(has(Files::failure(settings), "needs ca"));
  }
  SUBCASE("names without verification") {
    settings.peer_names = {"spiffe://mesh/shop"};
    CHECK(has(Files::failure(settings), "names are only checked when"));
  }
  SUBCASE("names that match too much") {
    settings.verify = TlsVerify::required;
    settings.ca_file = files.authority.file();
    for (const char* name : {"*", "spiffe://*", "spiffe://mesh*", "spiffe://mesh/a*", "shop.*",
                             "a*.example", ".example", "", "shop example"}) {
      settings.peer_names = {name};
      CAPTURE(name);
      CHECK(has(Files::failure(settings), "is no name of a peer"));
    }
    for (const char* name :
         {"spiffe://mesh/*", "spiffe://mesh/a/*", "spiffe://mesh/a", "shop", "*.example"}) {
      settings.peer_names = {name};
      CAPTURE(name);
      CHECK(Files::failure(settings).empty());
    }
  }
}

TEST_CASE("tls_config: the block is read with defaults that protect, and faults name the key") {
  const auto read = [](const std::string& text, TlsRole role, TlsSettings& settings) {
    YamlErrors errors;
    settings.role = role;
    const YamlNode root = parse_yaml(text, "test.yaml", errors);
    read_tls(root.get("tls"), settings);
    return errors.text();
  };
  TlsSettings settings;
  SUBCASE("a caller") {
    CHECK(
        read("tls: {ca: ca.pem, names: [\"spiffe://mesh/*\"]}", TlsRole::client, settings).empty());
    CHECK(settings.verify == TlsVerify::required);
    CHECK(settings.ca_file == "ca.pem");
    CHECK(settings.peer_names == std::vector<std::string>{"spiffe://mesh/*"});
  }
  SUBCASE("a listener with mutual TLS") {
    CHECK(read("tls: {certificate: a.pem, key: a.key, ca: ca.pem, verify: required}",
               TlsRole::server, settings)
              .empty());
    CHECK(settings.verify == TlsVerify::required);
    CHECK(settings.alpn == std::vector<std::string>{"http/1.1"});
  }
  SUBCASE("faults") {
    CHECK(has(read("tls: {certificate: a.pem}", TlsRole::server, settings), "go together"));
    CHECK(has(read("tls: yes", TlsRole::client, settings), "expected a map"));
    CHECK(has(read("tls: {cert: a.pem}", TlsRole::client, settings), "cert"));
    CHECK(has(read("tls: {verify: optional}", TlsRole::client, settings), "none, required"));
  }
}

TEST_CASE("tls_source: a reload that fails keeps the context in force") {
  Files files;
  auto source = TlsSource::open(files.server());
  REQUIRE(source.ok());
  const auto first = (*source)->get();
  files.write("leaf.key", "broken");
  CHECK_FALSE((*source)->reload().ok());
  CHECK((*source)->get() == first);
  files.authority.issue("leaf");
  CHECK((*source)->reload().ok());
  CHECK((*source)->get() != first);
}

}  // namespace
}  // namespace hms::net
