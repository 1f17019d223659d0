#include "collector/alerts/template_functions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "telemetry/text.h"

namespace hms::collector {
namespace {

using Value = TemplateValue;

std::string formatted(const char* format, double value) {
  std::array<char, 400> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), format, value);
  return std::string(buffer.data(), static_cast<size_t>(std::clamp(
                                        length, 0, static_cast<int>(buffer.size()) - 1)));
}

/// A number as Go's %v writes a float64: shortest digits, exponent from 1e21 on.
std::string plain(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 64> buffer;
  const double size = std::fabs(value);
  const bool exponent = size != 0 && (size < 1e-4 || size >= 1e21);
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return error == std::errc() ? std::string(buffer.data(), end) : formatted("%g", value);
}

double as_number(const Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  const std::string& text = std::get<std::string>(value);
  double number = std::nan("");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : std::nan("");
}

std::string with_prefix(double value, double base, std::initializer_list<std::string_view> large,
                        std::initializer_list<std::string_view> small) {
  if (value == 0 || !std::isfinite(value)) return formatted("%.4g", value);
  std::string_view prefix;
  if (std::fabs(value) >= 1) {
    for (const std::string_view name : large) {
      if (std::fabs(value) < base) break;
      prefix = name;
      value /= base;
    }
  } else {
    for (const std::string_view name : small) {
      if (std::fabs(value) >= 1) break;
      prefix = name;
      value *= base;
    }
  }
  return formatted("%.4g", value) + std::string(prefix);
}

std::string humanized_duration(double value) {
  if (!std::isfinite(value)) return formatted("%.4g", value);
  if (value == 0) return "0s";
  if (std::fabs(value) < 1) return with_prefix(value, 1000, {}, {"m", "u", "n", "p"}) + "s";
  const std::string sign = value < 0 ? "-" : "";
  const double size = std::fabs(value);
  const double whole = std::floor(size);
  const auto total = static_cast<int64_t>(std::min(whole, 9e15));
  const int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60,
                seconds = total % 60;
  if (days != 0)
    return sign + std::to_string(days) + "d " + std::to_string(hours) + "h " +
           std::to_string(minutes) + "m " + std::to_string(seconds) + "s";
  if (hours != 0)
    return sign + std::to_string(hours) + "h " + std::to_string(minutes) + "m " +
           std::to_string(seconds) + "s";
  if (minutes != 0) return sign + std::to_string(minutes) + "m " + std::to_string(seconds) + "s";
  return sign + formatted("%.4g", size) + "s";
}

std::string humanized_timestamp(double value) {
  if (!std::isfinite(value) || std::fabs(value) > 2e11) return formatted("%.4g", value);
  const auto seconds = static_cast<std::time_t>(std::floor(value));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> buffer;
  const size_t length =
      std::strftime(buffer.data(), buffer.size(), "%Y-%m-%d %H:%M:%S +0000 UTC", &parts);
  return std::string(buffer.data(), length);
}

std::string titled(std::string text) {
  bool start = true;
  for (char& c : text) {
    if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    start = c == ' ' || c == '\t';
  }
  return text;
}

template <class Change>
std::string mapped(std::string text, Change change) {
  std::transform(text.begin(), text.end(), text.begin(), change);
  return text;
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// --- printf

struct Verb {
  std::string flags;  // width and precision: digits, '.', '-', '+', ' ', '0'
  char letter = 0;
};

/// Walks a format; `on_literal` and `on_verb` get its pieces. The error is a sentence, empty when
/// all is well.
template <class OnLiteral, class OnVerb>
std::string walk_format(std::string_view format, OnLiteral on_literal, OnVerb on_verb) {
  size_t at = 0;
  while (at < format.size()) {
    const size_t percent = format.find('%', at);
    on_literal(format.substr(at, percent == std::string_view::npos ? percent : percent - at));
    if (percent == std::string_view::npos) return {};
    at = percent + 1;
    if (at < format.size() && format[at] == '%') {
      on_literal("%");
      ++at;
      continue;
    }
    Verb verb;
    while (at < format.size() &&
           std::string_view("0123456789.-+ ").find(format[at]) != std::string_view::npos)
      verb.flags += format[at++];
    if (at == format.size()) return "the format ends within a verb";
    verb.letter = format[at++];
    if (std::string_view("svqdfeg").find(verb.letter) == std::string_view::npos) {
      return std::string("unknown verb %") + verb.letter + "; known: %s %v %q %d %f %e %g %%";
    }
    // Width and precision stay small: a template must not print a megabyte.
    if (verb.flags.size() > 8) return "a width or precision has at most 8 characters";
    on_verb(verb);
  }
  return {};
}

std::string padded(const std::string& text, const std::string& flags) {
  const bool left = flags.find('-') != std::string::npos;
  size_t at = 0;
  while (at < flags.size() && (flags[at] < '0' || flags[at] > '9')) ++at;
  size_t width = 0;
  while (at < flags.size() && flags[at] >= '0' && flags[at] <= '9')
    width = std::min<size_t>(width * 10 + static_cast<size_t>(flags[at++] - '0'), 200);
  if (text.size() >= width) return text;
  const std::string blanks(width - text.size(), ' ');
  return left ? text + blanks : blanks + text;
}

/// "%" + flags + letter with each number in the flags at most 200.
std::string safe_format(const Verb& verb, std::string_view length_and_letter) {
  std::string out = "%";
  std::string digits;
  const auto flush = [&] {
    if (digits.empty()) return;
    const bool zero = digits.front() == '0' && digits.size() > 1 && out.back() != '.';
    const long number = std::min(200L, std::strtol(digits.c_str(), nullptr, 10));
    out += (zero ? "0" : "") + std::to_string(number);
    digits.clear();
  };
  bool dotted = false;
  for (const char c : verb.flags) {
    if (c >= '0' && c <= '9') {
      digits += c;
      continue;
    }
    flush();
    if (c == '.') {
      if (dotted) continue;
      dotted = true;
    }
    out += c;
  }
  flush();
  return out + std::string(length_and_letter);
}

std::string print_one(const Verb& verb, const Value& value) {
  switch (verb.letter) {
    case 's':
    case 'v':
      return padded(as_text(value), verb.flags);
    case 'q': {
      std::string quoted;
      telemetry::append_json_text(quoted, as_text(value));
      return padded(quoted, verb.flags);
    }
    case 'd': {
      const double number = as_number(value);
      if (!std::isfinite(number) || std::fabs(number) > 9e15)
        return padded(plain(number), verb.flags);
      return padded(std::to_string(static_cast<int64_t>(std::llround(number))), verb.flags);
    }
    case 'f':
      return formatted(safe_format(verb, "f").c_str(), as_number(value));
    case 'e':
      return formatted(safe_format(verb, "e").c_str(), as_number(value));
    default:
      return formatted(safe_format(verb, "g").c_str(), as_number(value));
  }
}

std::string printed(const std::vector<Value>& arguments) {
  std::string out;
  size_t next = 1;
  (void)walk_format(
      as_text(arguments[0]), [&](std::string_view literal) { out += literal; },
      [&](const Verb& verb) {
        out += next < arguments.size() ? print_one(verb, arguments[next++])
                                       : "%!" + std::string(1, verb.letter) + "(MISSING)";
      });
  return out;
}

}  // namespace

std::string as_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return plain(std::get<double>(value));
}

Value apply_function(Template::Function function, const std::vector<Value>& arguments) {
  const Value& last = arguments.back();
  switch (function) {
    case Template::Function::humanize:
      return with_prefix(as_number(last), 1000, {"k", "M", "G", "T", "P", "E", "Z", "Y"},
                         {"m", "u", "n", "p", "f", "a", "z", "y"});
    case Template::Function::humanize_1024: {
      const double number = as_number(last);
      if (std::fabs(number) <= 1) return formatted("%.4g", number);
      return with_prefix(number, 1024, {"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}, {});
    }
    case Template::Function::humanize_duration:
      return humanized_duration(as_number(last));
    case Template::Function::humanize_percentage:
      return formatted("%.4g%%", as_number(last) * 100);
    case Template::Function::humanize_timestamp:
      return humanized_timestamp(as_number(last));
    case Template::Function::print_formatted:
      return printed(arguments);
    case Template::Function::to_upper:
      return mapped(as_text(last), upper);
    case Template::Function::to_lower:
      return mapped(as_text(last), lower);
    case Template::Function::title:
      return titled(as_text(last));
  }
  return std::string();
}

std::string format_fault(std::string_view format) {
  return walk_format(
      format, [](std::string_view) {}, [](const Verb&) {});
}

}  // namespace hms::collector
