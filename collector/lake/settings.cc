#include "collector/lake/settings.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "collector/lake/s3_destination.h"
#include "net/core/errno_text.h"

namespace hms::collector {
namespace {

using net::Error;
using net::Result;

constexpr std::string_view kS3 = "s3://";

Error bad(const std::string& detail) {
  return {net::Code::bad_config, net::Side::self, false, "lake: " + detail};
}

Result<S3Settings> bucket_of(const LakeSettings& settings) {
  S3Settings out;
  const std::string path = settings.to.substr(kS3.size());
  out.bucket = path.substr(0, path.find('/'));
  if (const size_t slash = path.find('/'); slash != std::string::npos)
    out.prefix = path.substr(slash + 1);
  while (!out.prefix.empty() && out.prefix.back() == '/') out.prefix.pop_back();
  if (out.bucket.empty()) return bad("'" + settings.to + "' names no bucket; s3://bucket/prefix");
  out.endpoint = settings.endpoint.empty() ? "https://s3." + settings.region + ".amazonaws.com"
                                           : settings.endpoint;
  while (!out.endpoint.empty() && out.endpoint.back() == '/') out.endpoint.pop_back();
  if (out.endpoint.rfind("http://", 0) != 0 && out.endpoint.rfind("https://", 0) != 0)
    return bad("endpoint '" + out.endpoint + "' is not http:// or https://");
  out.region = settings.region;
  out.ca_file = settings.ca;
  auto credentials = read_s3_credentials(settings.credentials);
  if (!credentials.ok()) return std::move(credentials).error();
  out.credentials = std::move(credentials).value();
  return out;
}

Error bad_url(const LakeSettings& settings) {
  return bad("'" + settings.to + "' is neither a folder nor s3://bucket/prefix");
}

bool is_bucket(const LakeSettings& settings) { return settings.to.rfind(kS3, 0) == 0; }
bool is_url(const LakeSettings& settings) { return settings.to.find("://") != std::string::npos; }

Result<void> check_folder(const std::string& path) {
  std::error_code wrong;
  const std::filesystem::path folder(path);
  if (std::filesystem::exists(folder, wrong)) {
    if (!std::filesystem::is_directory(folder, wrong)) return bad(path + " is not a directory");
    if (::access(path.c_str(), R_OK | X_OK) != 0) return bad(path + " is not readable");
    return {};
  }
  // Its last part would be made.
  std::filesystem::path parent = std::filesystem::absolute(folder, wrong).lexically_normal();
  if (!parent.has_filename()) parent = parent.parent_path();
  parent = parent.parent_path();
  if (::access(parent.c_str(), W_OK | X_OK) != 0)
    return bad(path + " cannot be created: " + net::errno_text(errno));
  return {};
}

}  // namespace

Result<std::unique_ptr<LakeDestination>> open_destination(const LakeSettings& settings) {
  if (is_bucket(settings)) {
    auto bucket = bucket_of(settings);
    if (!bucket.ok()) return std::move(bucket).error();
    return make_s3_destination(std::move(bucket).value());
  }
  if (is_url(settings)) return bad_url(settings);
  return open_folder_destination(settings.to);
}

Result<void> check_destination(const LakeSettings& settings) {
  if (is_bucket(settings)) {
    auto bucket = bucket_of(settings);
    if (!bucket.ok()) return std::move(bucket).error();
    return {};
  }
  if (is_url(settings)) return bad_url(settings);
  return check_folder(settings.to);
}

}  // namespace hms::collector
