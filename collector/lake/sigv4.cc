#include "collector/lake/sigv4.h"

#include <algorithm>

#include "collector/lake/digest.h"

namespace hms::collector {
namespace {

bool unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

/// Without spaces at the ends, runs of them as one.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

std::string uri_encode(std::string_view text, bool keep_slashes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (unreserved(c) || (c == '/' && keep_slashes)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string canonical_query(const std::vector<std::pair<std::string, std::string>>& query) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : query)
    encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name;
    out += '=';
    out += value;
  }
  return out;
}

std::string sign_v4(const SigningInput& input, const S3Credentials& credentials) {
  std::string headers, names;
  for (const auto& [name, value] : input.headers) {
    headers += name + ':' + trimmed(value) + '\n';
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string request = input.method + '\n' + input.path + '\n' +
                              canonical_query(input.query) + '\n' + headers + '\n' + names + '\n' +
                              input.payload_sha256;
  const std::string date = input.time.substr(0, 8);
  const std::string scope = date + '/' + input.region + '/' + input.service + "/aws4_request";
  const std::string text =
      "AWS4-HMAC-SHA256\n" + input.time + '\n' + scope + '\n' + sha256_hex(request);
  std::string key = "AWS4" + credentials.secret_key;
  for (const std::string& part : {date, input.region, input.service, std::string("aws4_request")})
    key = hmac_sha256(key, part);
  return "AWS4-HMAC-SHA256 Credential=" + credentials.access_key + '/' + scope +
         ", SignedHeaders=" + names + ", Signature=" + hex_text(hmac_sha256(key, text));
}

}  // namespace hms::collector
