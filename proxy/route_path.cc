#include "proxy/route_path.h"

#include <algorithm>

namespace hms::proxy {

namespace {

struct Style {
  bool drops_parameters = false;
  bool keeps_climbs = false;
};

struct Escape {
  unsigned char byte = 0;
  bool valid = false;
};

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// `text` begins with '%'.
Escape read_escape(std::string_view text) noexcept {
  if (text.size() < 3) return {};
  const int high = hex_digit(text[1]);
  const int low = hex_digit(text[2]);
  if (high < 0 || low < 0) return {};
  return {static_cast<unsigned char>(high * 16 + low), true};
}

bool is_control(unsigned char byte) noexcept { return byte < 0x20 || byte == 0x7f; }

/// 0xC0 and 0xC1 are in no UTF-8 but in over-long forms of ASCII.
bool is_doubtful(unsigned char byte) noexcept {
  return byte == '/' || byte == '\\' || is_control(byte) || byte == 0xc0 || byte == 0xc1;
}

bool stays_escaped(unsigned char byte) noexcept {
  return byte == '/' || byte == '\\' || byte == ';' || byte == '%' || byte == '?' || byte == '#' ||
         is_control(byte);
}

void append_escaped(unsigned char byte, std::string& out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out += '%';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

bool starts_parameters(std::string_view text) noexcept {
  return text[0] == ';' || (text[0] == '%' && text.size() >= 3 && text[1] == '3' &&
                            (text[2] == 'b' || text[2] == 'B'));
}

void append_segment(std::string_view segment, Style style, std::string& out) {
  for (size_t i = 0; i < segment.size(); ++i) {
    if (style.drops_parameters && starts_parameters(segment.substr(i))) return;
    const Escape escape = segment[i] == '%' ? read_escape(segment.substr(i)) : Escape{};
    if (!escape.valid) {
      out += segment[i];
      continue;
    }
    if (stays_escaped(escape.byte))
      append_escaped(escape.byte, out);
    else
      out += static_cast<char>(escape.byte);
    i += 2;
  }
}

/// `path` begins with '/'.
std::string_view normalise(std::string_view path, Style style, std::string& out) {
  out.clear();
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const bool last = end == path.size();
    const size_t mark = out.size();
    out += '/';
    append_segment(path.substr(begin, end - begin), style, out);
    const std::string_view segment = std::string_view(out).substr(mark + 1);
    const bool climbs = segment == ".." && !style.keeps_climbs;
    if (segment.empty() || segment == "." || climbs) {
      out.resize(mark);
      if (climbs) out.resize(std::min(out.rfind('/'), out.size()));
      if (last) out += '/';
    }
    begin = end + 1;
  }
  return out;
}

struct Traits {
  bool parameters = false, climbs = false, ambiguous = false;
};

Traits look_at(std::string_view path) noexcept {
  Traits traits;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto byte = static_cast<unsigned char>(path[i]);
    if (byte == '%') {
      const Escape escape = read_escape(path.substr(i));
      traits.ambiguous |= !escape.valid || is_doubtful(escape.byte);
      traits.parameters |= escape.valid && escape.byte == ';';
      traits.climbs |= escape.valid && escape.byte == '.';
    } else if (byte == ';') {
      traits.parameters = true;
    } else if (byte == '.') {
      traits.climbs |= i > 0 && (path[i - 1] == '/' || path[i - 1] == '.');
    } else {
      traits.ambiguous |= byte != '/' && is_doubtful(byte);
    }
  }
  return traits;
}

}  // namespace

bool is_plain_path(std::string_view path) noexcept {
  if (path.empty() || path[0] != '/') return true;
  char before = 0;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '%' || c == ';' || (before == '/' && (c == '/' || c == '.'))) return false;
    if (c != '/' && is_doubtful(byte)) return false;
    before = c;
  }
  return true;
}

PathReadings read_path(std::string_view path, PathScratch& scratch) {
  if (is_plain_path(path)) return {path, path, path, false, true};
  const Traits traits = look_at(path);
  PathReadings readings;
  readings.ambiguous = traits.ambiguous;
  readings.normal = normalise(path, {}, scratch.normal);
  readings.bare = traits.parameters ? normalise(path, {.drops_parameters = true}, scratch.bare)
                                    : readings.normal;
  readings.climbing =
      traits.climbs
          ? normalise(path, {.drops_parameters = true, .keeps_climbs = true}, scratch.climbing)
          : readings.normal;
  return readings;
}

}  // namespace hms::proxy
