// s3_destination.h: a lake in a bucket of an S3-compatible service, addressed by path
// (endpoint/bucket/key), every request signed (sigv4.h).
//
// Objects above 16 MiB are sent in parts. What may be tried again (no answer, 429, 5xx) is, four
// times with growing pauses. Secrets are in no message. Thread: any.
#pragma once

#include <memory>
#include <string>

#include "collector/lake/destination.h"
#include "collector/lake/sigv4.h"

namespace hms::collector {

struct S3Settings {
  std::string endpoint;  // https://host[:port]
  std::string region;
  std::string bucket, prefix;  // prefix without slashes at its ends; may be empty
  S3Credentials credentials;
  std::string ca_file;  // PEM: who vouches for the endpoint; empty: the system's authorities
};
[[nodiscard]] std::unique_ptr<LakeDestination> make_s3_destination(S3Settings settings);

/// From a file in AWS's form ([default], aws_access_key_id = ...), or from AWS_ACCESS_KEY_ID,
/// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Errors: bad_config.
[[nodiscard]] net::Result<S3Credentials> read_s3_credentials(const std::string& file);

}  // namespace hms::collector
