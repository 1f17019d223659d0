#include "net/io/tls_names.h"

#include <doctest/doctest.h>

using hms::net::CertificateNames;
using hms::net::is_peer_name;

namespace {

bool dns(const char* certified, const char* name) {
  return CertificateNames{.dns = {certified}}.is_for(name);
}

bool uri(const char* certified, const char* name) {
  return CertificateNames{.uris = {certified}}.is_for(name);
}

}  // namespace

TEST_CASE("tls_names: a SPIFFE URI matches whole, or by the path before a star") {
  CHECK(uri("spiffe://local/cart", "spiffe://local/cart"));
  CHECK(!uri("spiffe://local/carter", "spiffe://local/cart"));
  CHECK(uri("spiffe://local/cart/v2", "spiffe://local/*"));
  CHECK(!uri("spiffe://local/", "spiffe://local/*"));
  CHECK(!uri("spiffe://local/shopping", "spiffe://local/shop/*"));
  CHECK(!uri("spiffe://local.example/cart", "spiffe://local/*"));
  CHECK(!uri("https://local/cart", "https://local/cart"));
}

TEST_CASE("tls_names: a certificate with two URIs has no SPIFFE identity") {
  const CertificateNames two{.uris = {"spiffe://local/cart", "spiffe://local/boss"}};
  CHECK(!two.is_for("spiffe://local/cart"));
  CHECK(two.identity().empty());
}

TEST_CASE("tls_names: a DNS name matches in any case, and a star is one label") {
  CHECK(dns("cart.EXAMPLE", "Cart.example"));
  CHECK(dns("cart.example", "*.example"));
  CHECK(!dns("a.cart.example", "*.example"));
  CHECK(!dns(".example", "*.example"));
  CHECK(!dns("example", "*.example"));
  CHECK(!dns("spiffe://local/cart", "spiffe://local/cart"));
  CHECK(!uri("spiffe://local/cart", "*.local/cart"));
}

TEST_CASE("tls_names: a star in the certificate stands for one label below a domain") {
  CHECK(dns("*.mesh.example", "cart.Mesh.example"));
  CHECK(dns("*.mesh.example", "*.mesh.example"));
  CHECK(!dns("*.mesh.example", "mesh.example"));
  CHECK(!dns("*.mesh.example", ".mesh.example"));
  CHECK(!dns("*.mesh.example", "a.cart.mesh.example"));
  CHECK(!dns("*.example", "cart.example"));
  CHECK(!dns("c*.mesh.example", "cart.mesh.example"));
  CHECK(!dns("*", "cart"));
}

TEST_CASE("tls_names: who calls is not told by a star in the certificate") {
  const CertificateNames names{.dns = {"*.mesh.example"}};
  CHECK(names.is_for("cart.mesh.example"));
  CHECK(!names.is_for("cart.mesh.example", hms::net::CertificateStar::itself));
  CHECK(names.is_for("*.mesh.example", hms::net::CertificateStar::itself));
}

TEST_CASE("tls_names: any name of the right kind may match") {
  const CertificateNames names{.uris = {"spiffe://mesh/cart"},
                               .dns = {"a.mesh", "b.test"},
                               .addresses = {"10.0.0.7", "::1"}};
  for (const char* name : {"spiffe://mesh/cart", "a.mesh", "b.test", "*.test", "10.0.0.7", "::1"}) {
    CAPTURE(name);
    CHECK(names.is_for(name));
  }
  for (const char* name : {"", "mesh", "*.other", "10.0.0.8", "spiffe://mesh/b.test"}) {
    CAPTURE(name);
    CHECK(!names.is_for(name));
    CHECK(!CertificateNames{}.is_for(name));
  }
}

TEST_CASE("tls_names: names of peers that could never match are known") {
  for (const char* good :
       {"spiffe://a", "spiffe://a/b", "spiffe://a/b/*", "spiffe://a/*", "a.b", "*.b", "10.0.0.7"}) {
    CAPTURE(good);
    CHECK(is_peer_name(good));
  }
  for (const char* wrong :
       {"", "spiffe://", "spiffe:///x", "spiffe:///*", "spiffe://*/x", "spiffe://*", "spiffe://a*",
        "spiffe://a/*/b", "spiffe://a/b*", "a*b", "*.", ".", "a b", "*.*.a", "a/b"}) {
    CAPTURE(wrong);
    CHECK(!is_peer_name(wrong));
  }
}
