#include "net/http/head_split.h"

#include <algorithm>

#include "net/http/characters.h"

namespace hms::net {
namespace {

constexpr HttpFault fault(uint16_t status, std::string_view site) noexcept {
  return {status, site};
}

/// "HTTP/1.0" or "HTTP/1.1" gives 0 or 1. Other well-formed versions are 505, the rest is no HTTP.
std::optional<HttpFault> read_version(std::string_view text, uint8_t& minor) noexcept {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is_class(text[5], kDigit) ||
      text[6] != '.' || !is_class(text[7], kDigit)) {
    return fault(400, "version");
  }
  if (text[5] != '1' || text[7] > '1') return fault(505, "version_unsupported");
  minor = static_cast<uint8_t>(text[7] - '0');
  return std::nullopt;
}

std::optional<HttpFault> split_request_line(std::string_view line, MessageHead& head) noexcept {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return fault(400, "request_line");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  return read_version(line.substr(last + 1), head.version_minor);
}

std::optional<HttpFault> split_status_line(std::string_view line, MessageHead& head) noexcept {
  // "HTTP/1.1 200 OK"; the blank after the status is left out by some servers that have no reason
  // to give.
  if (line.size() < 12 || line[8] != ' ') return fault(400, "status_line");
  if (auto broken = read_version(line.substr(0, 8), head.version_minor)) return broken;
  const std::string_view digits = line.substr(9, 3);
  if (!all_class(digits, kDigit)) return fault(400, "status");
  head.status =
      static_cast<uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
  if (head.status < 100) return fault(400, "status");
  if (line.size() > 12 && line[12] != ' ') return fault(400, "status_line");
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  return std::nullopt;
}

std::optional<HttpFault> split_field(std::string_view raw, size_t begin, size_t line_end,
                                     HeaderField& field) noexcept {
  const std::string_view line = raw.substr(begin, line_end - begin - 2);
  if (line.front() == ' ' || line.front() == '\t') return fault(400, "obs_fold");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return fault(400, "field_without_colon");
  if (colon == 0) return fault(400, "empty_field_name");
  if (colon > UINT16_MAX) return fault(431, "field_name_length");
  const std::string_view value = trim_blanks(line.substr(colon + 1));
  const size_t value_begin =
      value.empty() ? begin + colon + 1 : static_cast<size_t>(value.data() - raw.data());
  field.begin = static_cast<uint32_t>(begin);
  field.end = static_cast<uint32_t>(line_end);
  field.value_begin = static_cast<uint32_t>(value_begin);
  field.value_end = static_cast<uint32_t>(value_begin + value.size());
  field.name_length = static_cast<uint16_t>(colon);
  field.known = known_header(line.substr(0, colon));
  return std::nullopt;
}

/// Offset after the CRLF of the line that begins at `begin`, or 0 if the line does not end in CRLF.
size_t end_of_line(std::string_view raw, size_t begin) noexcept {
  const size_t newline = raw.find('\n', begin);
  if (newline == std::string_view::npos || newline == begin || raw[newline - 1] != '\r') return 0;
  return newline + 1;
}

}  // namespace

std::optional<HttpFault> split_head(std::string_view raw, bool is_request, uint16_t max_fields,
                                    MessageHead& head) noexcept {
  head.raw = raw;
  head.is_request = is_request;
  head.status = 0;
  head.method = head.target = head.reason = {};
  head.field_count = 0;
  head.present = 0;

  const size_t start_line_end = end_of_line(raw, 0);
  if (start_line_end == 0) return fault(400, "bare_lf");
  head.start_line_end = static_cast<uint32_t>(start_line_end);
  const std::string_view start_line = raw.substr(0, start_line_end - 2);
  if (auto broken =
          is_request ? split_request_line(start_line, head) : split_status_line(start_line, head)) {
    return broken;
  }

  const size_t field_limit = std::min<size_t>(max_fields, MessageHead::kMaxFields);
  size_t begin = start_line_end;
  while (true) {
    const size_t end = end_of_line(raw, begin);
    if (end == 0) return fault(400, "bare_lf");
    if (end == begin + 2) {
      return end == raw.size() ? std::nullopt : std::optional(fault(400, "head_end"));
    }
    if (head.field_count == field_limit) return fault(431, "too_many_fields");
    HeaderField& field = head.fields[head.field_count];
    if (auto broken = split_field(raw, begin, end, field)) return broken;
    head.present |= 1ULL << static_cast<unsigned>(field.known);
    ++head.field_count;
    begin = end;
  }
}

void move_head(std::string_view new_raw, MessageHead& head) noexcept {
  const auto moved = [&](std::string_view view) {
    if (view.empty()) return std::string_view();
    return new_raw.substr(static_cast<size_t>(view.data() - head.raw.data()), view.size());
  };
  head.method = moved(head.method);
  head.target = moved(head.target);
  head.reason = moved(head.reason);
  head.raw = new_raw;
}

}  // namespace hms::net
