#include "net/http/reply_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "net/http/characters.h"

namespace hms::net {

std::string_view status_reason(int status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    case 508:
      return "Loop Detected";
    default:
      return "Status";
  }
}

std::string_view date_text() {
  thread_local std::time_t made_for = -1;
  thread_local std::array<char, 40> text{};
  thread_local size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_for) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made_for = now;
  }
  return {text.data(), length};
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (!is_token(name)) return;
  out.append(name).append(": ");
  const size_t begin = out.size();
  out.append(value);
  if (!is_field_value(value)) {
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
        [](char c) { return !is_class(c, kFieldValue); }, ' ');
  }
  out.append("\r\n");
}

void append_extra_fields(std::string& out, const Headers& extra) {
  static constexpr std::array<std::string_view, 6> kOurs = {
      "connection", "content-length", "content-type", "date", "keep-alive", "transfer-encoding"};
  for (const auto& [name, value] : extra) {
    const bool ours = std::any_of(kOurs.begin(), kOurs.end(), [&name = name](std::string_view own) {
      return equals_ignoring_case(own, name);
    });
    if (!ours) append_field(out, name, value);
  }
}

std::string error_body(std::string_view error_type, std::string_view sentence) {
  const nlohmann::ordered_json body = {
      {"status", "error"}, {"errorType", error_type}, {"error", sentence}};
  // Sentences may quote what a caller sent: bytes that are no UTF-8 become U+FFFD instead of an
  // exception.
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool accepted = false;
  for_each_member(accept_encoding, [&](std::string_view member) {
    const size_t semicolon = member.find(';');
    const std::string_view coding = trim_blanks(member.substr(0, semicolon));
    if (!equals_ignoring_case(coding, "gzip") && !equals_ignoring_case(coding, "x-gzip")) {
      return true;
    }
    accepted = true;
    if (semicolon != std::string_view::npos) {
      const std::string_view weight = trim_blanks(member.substr(semicolon + 1));
      const bool zero = weight.size() >= 3 && lower(weight[0]) == 'q' && weight[1] == '=' &&
                        weight.find_first_not_of("0.", 2) == std::string_view::npos;
      accepted = !zero;
    }
    return false;
  });
  return accepted;
}

bool is_worth_compressing(std::string_view content_type) {
  static constexpr std::array<std::string_view, 8> kPacked = {
      "image/png",  "image/jpeg",      "image/webp",       "image/gif",
      "font/woff2", "application/zip", "application/gzip", "application/zstd"};
  const std::string_view type = trim_blanks(content_type.substr(0, content_type.find(';')));
  return std::none_of(kPacked.begin(), kPacked.end(),
                      [&](std::string_view packed) { return equals_ignoring_case(packed, type); });
}

}  // namespace hms::net
