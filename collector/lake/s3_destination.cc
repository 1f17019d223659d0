#include "collector/lake/s3_destination.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

#include "collector/lake/digest.h"
#include "collector/lake/http_transfer.h"
#include "collector/lake/local_file.h"
#include "net/core/random.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kPartBytes = 16ULL * 1024 * 1024;
constexpr int kAttempts = 4;
constexpr std::chrono::milliseconds kFirstPause{200};
constexpr size_t kMaxListed = 1'000'000;
constexpr uint64_t kMaxRead = 512ULL * 1024 * 1024;

using Query = std::vector<std::pair<std::string, std::string>>;

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[24];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

/// The text of the first <name> from `at` on; `at` moves behind it. The answers are flat enough.
std::string element(std::string_view xml, std::string_view name, size_t& at) {
  const std::string open = "<" + std::string(name) + ">";
  const size_t begin = xml.find(open, at);
  if (begin == std::string_view::npos) return {};
  const size_t end = xml.find("</", begin);
  if (end == std::string_view::npos) return {};
  at = end;
  std::string out(xml.substr(begin + open.size(), end - begin - open.size()));
  constexpr std::pair<std::string_view, char> kEscapes[] = {
      {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};
  for (const auto& [escape, character] : kEscapes) {
    for (size_t found = out.find(escape); found != std::string::npos;
         found = out.find(escape, found + 1))
      out.replace(found, escape.size(), 1, character);
  }
  return out;
}
std::string element(std::string_view xml, std::string_view name) {
  size_t at = 0;
  return element(xml, name, at);
}

/// One bucket: signed requests, with patience.
class S3Client {
 public:
  explicit S3Client(S3Settings settings) : settings_(std::move(settings)) {
    const size_t scheme = settings_.endpoint.find("://");
    host_ = settings_.endpoint.substr(scheme == std::string::npos ? 0 : scheme + 3);
  }

  [[nodiscard]] const S3Settings& settings() const { return settings_; }

  /// `key` empty: the bucket. Errors: not_found (404), unavailable, bad_config (403).
  Result<HttpAnswer> call(const std::string& method, const std::string& key, const Query& query,
                          std::string_view body = {}, const std::string& range = {}) const {
    auto pause = kFirstPause;
    for (int attempt = 1;; ++attempt) {
      auto answer = once(method, key, query, body, range);
      const bool again = answer.ok() ? answer.value().status >= 500 || answer.value().status == 429
                                     : answer.error().may_retry;
      if (!again || attempt == kAttempts)
        return answer.ok() ? judged(std::move(answer).value(), method, key) : std::move(answer);
      std::this_thread::sleep_for(pause + std::chrono::milliseconds(net::random_below(100)));
      pause *= 3;
    }
  }

 private:
  std::string path_of(const std::string& key) const {
    std::string path = "/" + settings_.bucket;
    if (!key.empty()) path += "/" + (settings_.prefix.empty() ? "" : settings_.prefix + "/") + key;
    return uri_encode(path, true);
  }

  Result<HttpAnswer> once(const std::string& method, const std::string& key, const Query& query,
                          std::string_view body, const std::string& range) const {
    SigningInput input;
    input.method = method;
    input.path = path_of(key);
    input.query = query;
    input.time = time_now();
    input.region = settings_.region;
    input.payload_sha256 = sha256_hex(body);
    input.headers = {{"host", host_},
                     {"x-amz-content-sha256", input.payload_sha256},
                     {"x-amz-date", input.time}};
    if (!settings_.credentials.session_token.empty())
      input.headers["x-amz-security-token"] = settings_.credentials.session_token;
    if (!range.empty()) input.headers["range"] = range;
    HttpCall call;
    call.trust.ca_file = settings_.ca_file;
    call.method = method;
    call.url = settings_.endpoint + input.path;
    if (!query.empty()) call.url += "?" + canonical_query(query);
    for (const auto& [name, value] : input.headers) {
      if (name != "host") call.headers.push_back(name + ": " + value);
    }
    call.headers.push_back("Authorization: " + sign_v4(input, settings_.credentials));
    call.headers.emplace_back("Content-Type: application/octet-stream");
    call.body = body;
    call.max_body_bytes = kMaxRead;
    return http_call(call);
  }

  Result<HttpAnswer> judged(HttpAnswer answer, const std::string& method,
                            const std::string& key) const {
    if (answer.status >= 200 && answer.status < 300) return answer;
    std::string detail = "lake: " + method + " s3://" + settings_.bucket + "/" +
                         (settings_.prefix.empty() ? "" : settings_.prefix + "/") + key +
                         " answered " + std::to_string(answer.status);
    if (const std::string code = element(answer.body, "Code"); !code.empty())
      detail += " " + code.substr(0, 64);
    Code code = Code::unavailable;
    if (answer.status == 404) code = Code::not_found;
    if (answer.status == 401 || answer.status == 403) {
      code = Code::bad_config;
      detail += "; look at the credentials, the region and the bucket's policy";
    }
    return Error{code, net::Side::upstream, code == Code::unavailable, std::move(detail)};
  }

  const S3Settings settings_;
  std::string host_;
};

class S3File final : public LakeFile {
 public:
  S3File(std::shared_ptr<const S3Client> client, std::string name, uint64_t size)
      : client_(std::move(client)), name_(std::move(name)), size_(size) {}
  uint64_t size() const noexcept override { return size_; }
  Result<std::string> read(uint64_t offset, uint64_t length) const override {
    if (length == 0) return std::string();
    if (offset > size_ || length > size_ - offset || length > kMaxRead)
      return Error{Code::corrupt, net::Side::upstream, false,
                   "lake: " + name_ + ": bytes beyond the end of the object"};
    auto answer = client_->call(
        "GET", name_, {}, {},
        "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1));
    if (!answer.ok()) return std::move(answer).error();
    if (answer.value().body.size() != length)
      return Error{Code::corrupt, net::Side::upstream, false,
                   "lake: " + name_ + ": asked for " + std::to_string(length) + " bytes, got " +
                       std::to_string(answer.value().body.size())};
    return std::move(answer.value().body);
  }

 private:
  const std::shared_ptr<const S3Client> client_;
  const std::string name_;
  const uint64_t size_;
};

class S3Destination final : public LakeDestination {
 public:
  explicit S3Destination(S3Settings settings)
      : client_(std::make_shared<const S3Client>(std::move(settings))) {}

  std::string describe() const override {
    const S3Settings& s = client_->settings();
    return "s3://" + s.bucket + (s.prefix.empty() ? "" : "/" + s.prefix) + " at " + s.endpoint;
  }
  bool remote() const noexcept override { return true; }

  Result<void> put(const std::string& name, std::string_view bytes) const override {
    auto answer = client_->call("PUT", name, {}, bytes);
    return answer.ok() ? Result<void>() : Result<void>(std::move(answer).error());
  }

  Result<void> put_file(const std::string& name, const std::string& path) const override {
    auto file = LocalFile::open(path);
    if (!file.ok()) return std::move(file).error();
    if (file.value()->size() <= kPartBytes) {
      auto bytes = file.value()->read(0, file.value()->size());
      return bytes.ok() ? put(name, bytes.value()) : Result<void>(std::move(bytes).error());
    }
    auto begun = client_->call("POST", name, {{"uploads", ""}});
    if (!begun.ok()) return std::move(begun).error();
    const std::string upload = element(begun.value().body, "UploadId");
    if (upload.empty())
      return Error{Code::unavailable, net::Side::upstream, false,
                   "lake: " + name + ": the service began no upload in parts"};
    auto sent = send_parts(name, upload, *file.value());
    // What was sent of an upload that failed would be kept, and paid for.
    if (!sent.ok()) static_cast<void>(client_->call("DELETE", name, {{"uploadId", upload}}));
    return sent;
  }

  Result<std::shared_ptr<const LakeFile>> open(const std::string& name) const override {
    auto answer = client_->call("HEAD", name, {});
    if (!answer.ok()) return std::move(answer).error();
    const std::string& text = answer.value().headers["content-length"];
    uint64_t size = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), size).ptr !=
            text.data() + text.size() ||
        text.empty())
      return Error{Code::unavailable, net::Side::upstream, false,
                   "lake: " + name + ": the service told no length"};
    return std::shared_ptr<const LakeFile>(std::make_shared<S3File>(client_, name, size));
  }

  Result<std::vector<std::string>> list(const std::string& prefix) const override {
    const std::string root =
        client_->settings().prefix.empty() ? "" : client_->settings().prefix + "/";
    std::vector<std::string> out;
    std::string token;
    do {
      Query query{{"list-type", "2"}, {"prefix", root + prefix}};
      if (!token.empty()) query.emplace_back("continuation-token", token);
      auto answer = client_->call("GET", "", query);
      if (!answer.ok()) return std::move(answer).error();
      const std::string& xml = answer.value().body;
      size_t at = 0;
      for (std::string key = element(xml, "Key", at); !key.empty(); key = element(xml, "Key", at)) {
        if (key.rfind(root, 0) == 0) out.push_back(key.substr(root.size()));
      }
      token = element(xml, "NextContinuationToken");
    } while (!token.empty() && out.size() < kMaxListed);
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  Result<void> send_parts(const std::string& name, const std::string& upload,
                          const LocalFile& file) const {
    std::string parts;
    for (uint64_t at = 0, number = 1; at < file.size(); at += kPartBytes, ++number) {
      auto bytes = file.read(at, std::min(kPartBytes, file.size() - at));
      if (!bytes.ok()) return std::move(bytes).error();
      auto sent =
          client_->call("PUT", name, {{"partNumber", std::to_string(number)}, {"uploadId", upload}},
                        bytes.value());
      if (!sent.ok()) return std::move(sent).error();
      parts += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" +
               sent.value().headers["etag"] + "</ETag></Part>";
    }
    auto done = client_->call(
        "POST", name, {{"uploadId", upload}},
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" + parts +
            "</CompleteMultipartUpload>");
    if (!done.ok()) return std::move(done).error();
    // S3 may answer 200 and tell the error in the body.
    if (done.value().body.find("<Error>") != std::string::npos)
      return Error{Code::unavailable, net::Side::upstream, true,
                   "lake: " + name + ": " + element(done.value().body, "Code").substr(0, 64)};
    return {};
  }

  const std::shared_ptr<const S3Client> client_;
};

std::string trim(std::string text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && space(text.back())) text.pop_back();
  while (!text.empty() && space(text.front())) text.erase(text.begin());
  return text;
}

}  // namespace

std::unique_ptr<LakeDestination> make_s3_destination(S3Settings settings) {
  return std::make_unique<S3Destination>(std::move(settings));
}

Result<S3Credentials> read_s3_credentials(const std::string& file) {
  S3Credentials out;
  if (file.empty()) {
    const auto variable = [](const char* name) {
      const char* const value = std::getenv(name);
      return std::string(value == nullptr ? "" : value);
    };
    out = {variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"),
           variable("AWS_SESSION_TOKEN")};
  } else {
    std::ifstream in(file);
    if (!in)
      return Error{Code::bad_config, net::Side::self, false,
                   "lake: credentials file " + file + " cannot be read"};
    std::string line, section = "default";
    for (int lines = 0; std::getline(in, line) && lines < 10'000; ++lines) {
      line = trim(std::move(line));
      if (line.size() > 2 && line.front() == '[') section = line.substr(1, line.size() - 2);
      const size_t equals = line.find('=');
      if (equals == std::string::npos || section != "default" || line.front() == '#') continue;
      const std::string name = trim(line.substr(0, equals));
      if (name == "aws_access_key_id") out.access_key = trim(line.substr(equals + 1));
      if (name == "aws_secret_access_key") out.secret_key = trim(line.substr(equals + 1));
      if (name == "aws_session_token") out.session_token = trim(line.substr(equals + 1));
    }
  }
  if (!out.access_key.empty() && !out.secret_key.empty()) return out;
  return Error{Code::bad_config, net::Side::self, false,
               file.empty() ? "lake: no credentials: set AWS_ACCESS_KEY_ID and "
                              "AWS_SECRET_ACCESS_KEY, or lake_credentials"
                            : "lake: " + file +
                                  " has no aws_access_key_id and aws_secret_access_key under "
                                  "[default]"};
}

}  // namespace hms::collector
