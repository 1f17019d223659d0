#include "net/core/log.h"

#include "net/core/log_ready.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "net/core/clock.h"
#include "net/core/line_writer.h"
#include "net/core/utf8.h"

namespace hms::net {
namespace {

constexpr size_t kLineLimit = 16 * 1024;
constexpr size_t kTailRoom = 32;  // for `,"truncated":true}` and the newline, within the limit

std::atomic<LogLevel> current_level{LogLevel::info};
std::atomic<LogFormat> current_format{LogFormat::json};

constexpr Millis kFlushAtExit{1'000};

std::string dropped_line(uint64_t dropped);

struct Writers {
  LineWriter errors{STDERR_FILENO, dropped_line}, output{STDOUT_FILENO, dropped_line};
};

// Leaked on purpose: destructors of other static objects and late threads may still log.
Writers& writers() {
  static Writers* const both = [] {
    std::atexit([] { log_flush(kFlushAtExit); });
    return new Writers;
  }();
  return *both;
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

void append_timestamp(std::string& out) {
  const int64_t millis = unix_millis();
  const time_t seconds = static_cast<time_t>(millis / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  out.append(text, length);
  const int rest = static_cast<int>(millis % 1000);
  const char fraction[] = {'.', static_cast<char>('0' + rest / 100),
                           static_cast<char>('0' + rest / 10 % 10),
                           static_cast<char>('0' + rest % 10), 'Z'};
  out.append(fraction, sizeof(fraction));
}

void append_escaped_control(std::string& out, unsigned char byte) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (byte) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0x0f];
  }
}

/// Appends `text` between quotes. False when the line's limit cut it (the quotes are closed all the
/// same).
bool append_quoted(std::string& out, std::string_view text) {
  constexpr size_t kLongestStep = 6;  // \u00XX
  out += '"';
  while (!text.empty()) {
    if (out.size() + kLongestStep + kTailRoom > kLineLimit) {
      out += '"';
      return false;
    }
    const auto byte = static_cast<unsigned char>(text[0]);
    size_t step = 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += static_cast<char>(byte);
    } else if (byte < 0x20 || byte == 0x7f) {
      append_escaped_control(out, byte);
    } else if (byte < 0x80) {
      out += static_cast<char>(byte);
    } else if (const size_t length = utf8_length(text); length > 0) {
      out.append(text.data(), length);
      step = length;
    } else {
      out += "\xef\xbf\xbd";  // U+FFFD
    }
    text.remove_prefix(step);
  }
  out += '"';
  return true;
}

template <class Number>
void append_number(std::string& out, Number value) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof(text), value);
  out.append(text, error == std::errc() ? static_cast<size_t>(end - text) : 0);
}

bool append_value(std::string& out, const LogField::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return append_quoted(out, *text);
  if (const auto* integer = std::get_if<int64_t>(&value)) append_number(out, *integer);
  if (const auto* natural = std::get_if<uint64_t>(&value)) append_number(out, *natural);
  if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
  if (const auto* real = std::get_if<double>(&value)) {
    // JSON has no infinities.
    if (std::isfinite(*real)) {
      append_number(out, *real);
    } else {
      out += "null";
    }
  }
  return true;
}

/// Appends separator, key, `between` and value; takes a field that does not fit back as a whole.
/// False: cut.
bool append_field(std::string& out, std::string_view lead, std::string_view key_text,
                  std::string_view between, bool quote_key, const LogField::Value& value) {
  const size_t before = out.size();
  out += lead;
  bool whole = true;
  if (quote_key) {
    whole = append_quoted(out, key_text);
  } else {
    out += key_text;
  }
  out += between;
  if (!whole || out.size() + 2 * kTailRoom > kLineLimit) {
    out.resize(before);
    return false;
  }
  return append_value(out, value);
}

void format_json(std::string& out, LogLevel level, std::string_view message,
                 std::initializer_list<LogField> fields) {
  out += R"({"ts":")";
  append_timestamp(out);
  out += R"(","level":")";
  out += level_name(level);
  out += R"(","msg":)";
  bool whole = append_quoted(out, message);
  for (const LogField& field : fields) {
    if (!whole) break;
    whole = append_field(out, ",", field.key, ":", true, field.value);
  }
  out += whole ? "}" : R"(,"truncated":true})";
}

/// "2026-01-02T03:04:05.678Z WARN  message key=value": the message unquoted, but with control
/// characters escaped.
void format_text(std::string& out, LogLevel level, std::string_view message,
                 std::initializer_list<LogField> fields) {
  append_timestamp(out);
  out += ' ';
  for (const char letter : level_name(level)) out += static_cast<char>(letter - 'a' + 'A');
  out += level == LogLevel::info || level == LogLevel::warn ? "  " : " ";
  const size_t start = out.size();
  bool whole = append_quoted(out, message);
  out.erase(start, 1);
  out.pop_back();
  for (const LogField& field : fields) {
    if (!whole) break;
    whole = append_field(out, " ", field.key, "=", false, field.value);
  }
  if (!whole) out += " truncated=true";
}

void format_line(std::string& line, LogLevel level, std::string_view message,
                 std::initializer_list<LogField> fields) {
  line.clear();
  if (current_format.load(std::memory_order_relaxed) == LogFormat::json) {
    format_json(line, level, message, fields);
  } else {
    format_text(line, level, message, fields);
  }
  line += '\n';
}

std::string dropped_line(uint64_t dropped) {
  std::string line;
  format_line(line, LogLevel::warn, "lines were dropped: nobody read them in time",
              {{"lines", dropped}});
  return line;
}

}  // namespace

void log_set_format(LogFormat format) { current_format.store(format, std::memory_order_relaxed); }

void log_set_level(LogLevel level) { current_level.store(level, std::memory_order_relaxed); }

LogLevel log_level() noexcept { return current_level.load(std::memory_order_relaxed); }

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    if (text == level_name(level)) return level;
  }
  return Error{
      .code = Code::bad_config,
      .detail = "log level '" + std::string(text) + "' is not one of debug, info, warn, error"};
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "json") return LogFormat::json;
  if (text == "text") return LogFormat::text;
  return Error{.code = Code::bad_config,
               .detail = "log format '" + std::string(text) + "' is not one of json, text"};
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < log_level()) return;
  thread_local std::string line;  // keeps its capacity: a line allocates only the first time
  format_line(line, level, message, fields);
  writers().errors.write(line);
}

void log_ready(std::initializer_list<LogField> fields) {
  std::string line;
  format_line(line, LogLevel::info, "ready", fields);
  writers().errors.write(line);
}

void log_raw_line(std::string_view raw) {
  thread_local std::string line;
  line.assign(raw);
  line += '\n';
  writers().output.write(line);
}

bool log_flush(Millis at_most) {
  return writers().errors.flush(at_most) && writers().output.flush(at_most);
}

uint64_t log_lines_dropped() { return writers().errors.dropped() + writers().output.dropped(); }

}  // namespace hms::net
