// settings.h: where the lake is, and opening it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "collector/lake/destination.h"

namespace hms::collector {

struct LakeSettings {
  std::string to;        // a folder, or s3://bucket/prefix
  std::string endpoint;  // of the S3-compatible service: https://host[:port]
  std::string region = "us-east-1";
  std::string ca;           // file of the endpoint's authorities, PEM; empty: the system's
  std::string credentials;  // file in AWS's form; empty: AWS_ACCESS_KEY_ID and its kin
};

/// Errors: bad_config.
[[nodiscard]] net::Result<std::unique_ptr<LakeDestination>> open_destination(
    const LakeSettings& settings);

/// Whether `open_destination` would open it, without making anything. Errors: bad_config.
[[nodiscard]] net::Result<void> check_destination(const LakeSettings& settings);

}  // namespace hms::collector
