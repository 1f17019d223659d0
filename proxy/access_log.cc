#include "proxy/access_log.h"

#include <charconv>
#include <ctime>

#include "net/core/log.h"

namespace hms::proxy {

namespace {

void append_text(std::string& out, std::string_view key, std::string_view value) {
  out += ",\"";
  out += key;
  out += "\":\"";
  for (const char c : value.substr(0, 512)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      static constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_integer(std::string& out, int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void append_number(std::string& out, std::string_view key, uint64_t value) {
  out += ",\"";
  out += key;
  out += "\":";
  append_integer(out, static_cast<int64_t>(value));
}

/// Milliseconds with three decimals; -1 when not reached.
void append_millis(std::string& out, std::string_view key, int64_t nanos) {
  out += ",\"";
  out += key;
  out += "\":";
  if (nanos < 0) {
    out += "-1";
    return;
  }
  append_integer(out, nanos / 1'000'000);
  const auto micros = static_cast<unsigned>(nanos / 1'000 % 1'000);
  const char decimals[] = {'.', static_cast<char>('0' + micros / 100),
                           static_cast<char>('0' + micros / 10 % 10),
                           static_cast<char>('0' + micros % 10)};
  out.append(decimals, sizeof decimals);
}

void append_time(std::string& out, uint64_t unix_nanos) {
  const auto seconds = static_cast<time_t>(unix_nanos / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  out.append(text, length);
  const auto millis = static_cast<unsigned>(unix_nanos / 1'000'000 % 1'000);
  const char decimals[] = {'.', static_cast<char>('0' + millis / 100),
                           static_cast<char>('0' + millis / 10 % 10),
                           static_cast<char>('0' + millis % 10), 'Z'};
  out.append(decimals, sizeof decimals);
}

}  // namespace

std::string_view format_access_line(const AccessEntry& entry, std::string& scratch) {
  std::string& out = scratch;
  out = "{\"ts\":\"";
  append_time(out, entry.start_unix_nanos);
  out += "\",\"direction\":\"";
  out += entry.outbound ? "outbound\"" : "inbound\"";
  append_text(out, "method", entry.method);
  append_text(out, "target", entry.target);
  append_text(out, "host", entry.host);
  append_text(out, "route", entry.route);
  append_number(out, "status", entry.status);
  append_text(out, "flags", entry.flags);
  if (!entry.error.empty()) append_text(out, "error", entry.error);
  append_text(out, "x_trace", entry.x_trace);
  append_text(out, "peer", entry.peer);
  append_text(out, "endpoint", entry.endpoint);
  if (!entry.upstream.empty()) append_text(out, "upstream", entry.upstream);
  if (!entry.user_agent.empty()) append_text(out, "user_agent", entry.user_agent);
  append_number(out, "attempts", entry.attempts);
  append_number(out, "request_bytes", entry.request_bytes);
  append_number(out, "reply_bytes", entry.reply_bytes);
  append_millis(out, "TR", entry.head_nanos);
  append_millis(out, "Tw", entry.wait_nanos);
  append_millis(out, "Tc", entry.connect_nanos);
  append_millis(out, "Tr", entry.reply_nanos);
  append_millis(out, "Ta", static_cast<int64_t>(entry.duration_nanos));
  out += '}';
  return out;
}

void write_access_line(const AccessEntry& entry, std::string& scratch) {
  net::log_raw_line(format_access_line(entry, scratch));
}

}  // namespace hms::proxy
