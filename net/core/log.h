// log.h: JSON lines on stderr (or text for people), one write per line, from any thread.
//
// A line has `ts` (ISO 8601, UTC, milliseconds), `level`, `msg` and the fields given. Strings are
// escaped; a line is cut at 16 KiB with `"truncated":true`. A reader that is too slow costs lines,
// never time (line_writer.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "net/core/clock.h"
#include "net/core/result.h"

namespace hms::net {

enum class LogLevel : uint8_t { debug, info, warn, error };
enum class LogFormat : uint8_t { json, text };

struct LogField {
  using Value = std::variant<std::string_view, int64_t, uint64_t, double, bool>;
  std::string_view key;
  Value value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) LogField(std::string_view k, T v)
      : key(k), value(convert(v)) {}

 private:
  template <class T>
  static Value convert(T v) {
    if constexpr (std::is_signed_v<T>)
      return Value(static_cast<int64_t>(v));
    else
      return Value(static_cast<uint64_t>(v));
  }
};

void log_set_format(LogFormat format);
void log_set_level(LogLevel level);
[[nodiscard]] LogLevel log_level() noexcept;
/// "debug", "info", "warn", "error".
[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view text);
[[nodiscard]] Result<LogFormat> parse_log_format(std::string_view text);

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
inline void log_debug(std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::debug, m, f);
}
inline void log_info(std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::info, m, f);
}
inline void log_warn(std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::warn, m, f);
}
inline void log_error(std::string_view m, std::initializer_list<LogField> f = {}) {
  log(LogLevel::error, m, f);
}

/// One raw line (already JSON, no newline) to stdout: the access log. Thread: any.
void log_raw_line(std::string_view line);
/// Waits until all lines are written; false if that took longer. At exit it is done for 1 s.
bool log_flush(Millis at_most);
/// Lines that nobody read in time, of both kinds, since the start.
[[nodiscard]] uint64_t log_lines_dropped();

}  // namespace hms::net
