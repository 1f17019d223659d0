#include "collector/lake/http_transfer.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <mutex>

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr long kConnectSeconds = 10;
constexpr long kStallSeconds = 30, kStallBytes = 1024;

struct Receiving {
  HttpAnswer answer;
  uint64_t max_bytes = 0;
  bool too_large = false;
};

size_t on_body(char* bytes, size_t one, size_t count, void* user) {
  auto& receiving = *static_cast<Receiving*>(user);
  const size_t size = one * count;
  if (receiving.answer.body.size() + size > receiving.max_bytes) {
    receiving.too_large = true;
    return 0;
  }
  receiving.answer.body.append(bytes, size);
  return size;
}

size_t on_header(char* bytes, size_t one, size_t count, void* user) {
  auto& receiving = *static_cast<Receiving*>(user);
  std::string_view line(bytes, one * count);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || receiving.answer.headers.size() > 200) return one * count;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  line.remove_prefix(colon + 1);
  const size_t first = line.find_first_not_of(" \t");
  const size_t last = line.find_last_not_of(" \t\r\n");
  if (first != std::string_view::npos && last >= first)
    receiving.answer.headers[name] = line.substr(first, last - first + 1);
  return one * count;
}

struct Handle {
  Handle() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    easy.reset(curl_easy_init());
  }
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{nullptr, &curl_easy_cleanup};
};

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  static_cast<void>(curl_easy_setopt(easy, option, value));
}

Error failure(const HttpCall& call, CURLcode code, const char* text) {
  const std::string where = call.url.substr(0, call.url.find('?'));
  const std::string why = text[0] != '\0' ? text : curl_easy_strerror(code);
  const bool tls = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  return {tls ? Code::tls : Code::unavailable, net::Side::upstream, !tls, where + ": " + why};
}

}  // namespace

Result<HttpAnswer> http_call(const HttpCall& call) {
  thread_local const Handle handle;
  CURL* const easy = handle.easy.get();
  if (easy == nullptr)
    return Error{Code::unavailable, net::Side::self, true, "libcurl cannot be used"};
  curl_easy_reset(easy);  // keeps connections
  Receiving receiving;
  receiving.max_bytes = call.max_body_bytes;
  char text[CURL_ERROR_SIZE] = {};
  curl_slist* headers = nullptr;
  for (const std::string& header : call.headers)
    headers = curl_slist_append(headers, header.c_str());
  headers = curl_slist_append(headers, "Expect:");
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> owned(headers,
                                                                          &curl_slist_free_all);
  set(easy, CURLOPT_URL, call.url.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(easy, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  set(easy, CURLOPT_LOW_SPEED_LIMIT, kStallBytes);
  set(easy, CURLOPT_ERRORBUFFER, text);
  set(easy, CURLOPT_HTTPHEADER, headers);
  set(easy, CURLOPT_WRITEFUNCTION, &on_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&receiving));
  set(easy, CURLOPT_HEADERFUNCTION, &on_header);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&receiving));
  for (const auto& [option, file] : {std::pair{CURLOPT_CAINFO, &call.trust.ca_file},
                                     std::pair{CURLOPT_SSLCERT, &call.trust.certificate_file},
                                     std::pair{CURLOPT_SSLKEY, &call.trust.key_file}}) {
    if (!file->empty()) set(easy, option, file->c_str());
  }
  if (call.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (call.method != "GET") {
    set(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
    set(easy, CURLOPT_POSTFIELDS, call.body.data());
    set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  }
  const CURLcode code = curl_easy_perform(easy);
  if (receiving.too_large)
    return Error{Code::too_large, net::Side::upstream, false,
                 "an answer of more than " + std::to_string(call.max_body_bytes) + " bytes"};
  if (code != CURLE_OK) return failure(call, code, text);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  receiving.answer.status = static_cast<int>(status);
  return std::move(receiving.answer);
}

}  // namespace hms::collector
