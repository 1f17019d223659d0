// http_transfer.h: one HTTP request, answered, on the calling thread: for the roller and for
// questions to a remote lake, which have threads that may wait. Only http_transfer.cc knows
// libcurl.
//
// No redirects, http and https only, certificates and names are verified. Limits: connecting 10 s,
// a transfer that moves less than 1 KiB/s for 30 s is given up, answers up to `max_body_bytes`.
// Headers and bodies are never logged. Thread: any; connections are kept per thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

/// For https. Files in PEM; empty: the system's authorities, no certificate of our own.
struct HttpTrust {
  std::string ca_file, certificate_file, key_file;
};

struct HttpCall {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string_view body;
  uint64_t max_body_bytes = 64ULL * 1024 * 1024;
  HttpTrust trust;
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

/// Any status is an answer. Errors: unavailable (may retry: nobody there, cut off), tls, too_large.
[[nodiscard]] net::Result<HttpAnswer> http_call(const HttpCall& call);

}  // namespace hms::collector
