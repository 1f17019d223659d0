#include "collector/lake/sigv4.h"

#include <doctest/doctest.h>

#include "collector/lake/digest.h"

using namespace hms::collector;

namespace {

std::string signature(const SigningInput& input, const S3Credentials& credentials) {
  const std::string header = sign_v4(input, credentials);
  return header.substr(header.rfind('=') + 1);
}

/// Of AWS's "aws-sig-v4-test-suite".
SigningInput suite() {
  SigningInput input;
  input.method = "GET";
  input.path = "/";
  input.time = "20150830T123600Z";
  input.region = "us-east-1";
  input.service = "service";
  input.headers = {{"host", "example.amazonaws.com"}, {"x-amz-date", input.time}};
  input.payload_sha256 = sha256_hex("");
  return input;
}
const S3Credentials kSuite{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};

/// Of "Signature calculations for the Authorization header" in Amazon S3's API reference.
SigningInput s3(const std::string& payload = "") {
  SigningInput input;
  input.method = "GET";
  input.path = "/";
  input.time = "20130524T000000Z";
  input.region = "us-east-1";
  input.payload_sha256 = sha256_hex(payload);
  input.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                   {"x-amz-content-sha256", input.payload_sha256},
                   {"x-amz-date", input.time}};
  return input;
}
const S3Credentials kS3{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};

}  // namespace

TEST_CASE("sigv4: the vectors of AWS's test suite") {
  SigningInput input = suite();
  CHECK(signature(input, kSuite) ==
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  input.query = {{"Param2", "value2"}, {"Param1", "value1"}};
  CHECK(signature(input, kSuite) ==
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
  input = suite();
  input.method = "POST";
  CHECK(signature(input, kSuite) ==
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST_CASE("sigv4: the examples of Amazon S3's reference") {
  SigningInput get = s3();
  get.path = "/test.txt";
  get.headers["range"] = "bytes=0-9";
  CHECK(signature(get, kS3) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

  SigningInput put = s3("Welcome to Amazon S3.");
  put.method = "PUT";
  put.path = uri_encode("/test$file.text", true);
  put.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  put.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY";
  CHECK(signature(put, kS3) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

  SigningInput lifecycle = s3();
  lifecycle.query = {{"lifecycle", ""}};
  CHECK(signature(lifecycle, kS3) ==
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");

  SigningInput list = s3();
  list.query = {{"max-keys", "2"}, {"prefix", "J"}};
  CHECK(signature(list, kS3) == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_CASE("sigv4: what is encoded in a path and in a query") {
  CHECK(uri_encode("/day=2026-11-01/a b~.parquet", true) == "/day%3D2026-11-01/a%20b~.parquet");
  CHECK(uri_encode("a/b", false) == "a%2Fb");
  CHECK(canonical_query({{"uploads", ""}, {"a", "x y"}}) == "a=x%20y&uploads=");
}
