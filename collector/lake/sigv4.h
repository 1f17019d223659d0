// sigv4.h: AWS Signature Version 4, as S3-compatible services check it.
//
// Tested against AWS's published vectors (tests/unit/collector/lake/sigv4_test.cc). Source:
// "Signing AWS API requests", AWS General Reference. Thread: any.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hms::collector {

struct S3Credentials {
  std::string access_key, secret_key;
  std::string session_token;  // empty for long-lived keys
};

struct SigningInput {
  std::string method;
  std::string path;                                        // encoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> query;  // not encoded
  std::map<std::string, std::string> headers;              // lower-case names, `host` among them
  std::string payload_sha256;
  std::string time;  // "20130524T000000Z"
  std::string region;
  std::string service = "s3";
};

/// The value of the Authorization header; signs all headers given.
[[nodiscard]] std::string sign_v4(const SigningInput& input, const S3Credentials& credentials);

/// Everything but unreserved characters as %XX; '/' stays if asked for.
[[nodiscard]] std::string uri_encode(std::string_view text, bool keep_slashes);
/// "a=b&c=d", sorted and encoded as it is signed.
[[nodiscard]] std::string canonical_query(
    const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace hms::collector
