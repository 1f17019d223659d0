#include "collector/lake/settings.h"

#include "collector/lake/s3_destination.h"

namespace hms::collector {
namespace {

using net::Error;
using net::Result;

constexpr std::string_view kS3 = "s3://";

Error bad(const std::string& detail) {
  return {net::Code::bad_config, net::Side::self, false, "lake: " + detail};
}

Result<std::unique_ptr<LakeDestination>> open_bucket(const LakeSettings& settings) {
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
  return make_s3_destination(std::move(out));
}

}  // namespace

Result<std::unique_ptr<LakeDestination>> open_destination(const LakeSettings& settings) {
  if (settings.to.rfind(kS3, 0) == 0) return open_bucket(settings);
  if (settings.to.find("://") != std::string::npos)
    return bad("'" + settings.to + "' is neither a folder nor s3://bucket/prefix");
  return open_folder_destination(settings.to);
}

}  // namespace hms::collector
