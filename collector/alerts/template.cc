// template.cc: parse once, expand often. The number formats follow prometheus/template/template.go.
#include "collector/alerts/template.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <optional>

#include "telemetry/text.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxTemplateBytes = 64 * 1024;
constexpr size_t kMaxExpandedBytes = 4096;
constexpr size_t kMaxCalls = 16;

struct FunctionEntry {
  std::string_view name;
  Template::Function function;
  size_t least_arguments, most_arguments;  // with the pipeline's value
};
constexpr std::array<FunctionEntry, 9> kFunctions = {{
    {"humanize", Template::Function::humanize, 1, 1},
    {"humanize1024", Template::Function::humanize_1024, 1, 1},
    {"humanizeDuration", Template::Function::humanize_duration, 1, 1},
    {"humanizePercentage", Template::Function::humanize_percentage, 1, 1},
    {"humanizeTimestamp", Template::Function::humanize_timestamp, 1, 1},
    {"printf", Template::Function::print_formatted, 1, 9},
    {"toUpper", Template::Function::to_upper, 1, 1},
    {"toLower", Template::Function::to_lower, 1, 1},
    {"title", Template::Function::title, 1, 1},
}};

using Value = std::variant<std::string, double>;

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

std::string as_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return plain(std::get<double>(value));
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

Value applied(Template::Function function, const std::vector<Value>& arguments) {
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

// --- parsing

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Reader {
 public:
  Reader(std::string_view text, size_t offset) : text_(text), offset_(offset) {}

  std::optional<Template::Pipeline> pipeline() {
    Template::Pipeline pipeline;
    if (!command(pipeline, true)) return std::nullopt;
    while (blanks(), at_ < text_.size()) {
      if (text_[at_] != '|')
        return fail("expected | or }}, found \"" + std::string(text_.substr(at_, 20)) + "\""),
               std::nullopt;
      ++at_;
      if (pipeline.calls.size() >= kMaxCalls)
        return fail("a pipeline has at most 16 functions"), std::nullopt;
      if (!command(pipeline, false)) return std::nullopt;
    }
    return pipeline;
  }

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& sentence) {
    if (error_.empty())
      error_ = "at character " + std::to_string(offset_ + at_ + 1) + ": " + sentence;
    return false;
  }

  void blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }

  bool command(Template::Pipeline& pipeline, bool first) {
    blanks();
    if (at_ == text_.size()) return fail("expected a value or a function");
    if (is_name_character(text_[at_]) && !(text_[at_] >= '0' && text_[at_] <= '9'))
      return call(pipeline, first);
    if (!first) return fail("expected a function after |");
    auto value = operand();
    if (!value) return false;
    pipeline.first.push_back(std::move(*value));
    return true;
  }

  bool call(Template::Pipeline& pipeline, bool first) {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    const auto* entry = std::find_if(kFunctions.begin(), kFunctions.end(),
                                     [&](const auto& known) { return known.name == name; });
    if (entry == kFunctions.end()) {
      at_ = begin;
      std::string names;
      for (const auto& known : kFunctions)
        names += (names.empty() ? "" : ", ") + std::string(known.name);
      return fail("unknown function \"" + std::string(name) + "\"; known: " + names);
    }
    Template::Call made;
    made.function = entry->function;
    while (blanks(), at_ < text_.size() && text_[at_] != '|') {
      auto value = operand();
      if (!value) return false;
      made.arguments.push_back(std::move(*value));
    }
    const size_t given = made.arguments.size() + (first ? 0 : 1);
    if (given < entry->least_arguments || given > entry->most_arguments) {
      return fail(std::string(name) + " takes " + std::to_string(entry->least_arguments) +
                  (entry->most_arguments == entry->least_arguments
                       ? ""
                       : " to " + std::to_string(entry->most_arguments)) +
                  " values, found " + std::to_string(given));
    }
    if (made.function == Template::Function::print_formatted && !check_format(made)) return false;
    pipeline.calls.push_back(std::move(made));
    return true;
  }

  bool check_format(const Template::Call& made) {
    if (made.arguments.empty() || !std::holds_alternative<std::string>(made.arguments[0]))
      return fail("printf takes its format as a text first");
    const std::string problem = walk_format(
        std::get<std::string>(made.arguments[0]), [](std::string_view) {}, [](const Verb&) {});
    return problem.empty() || fail("printf: " + problem);
  }

  std::optional<Template::Operand> operand() {
    const char c = text_[at_];
    if (c == '$') return variable();
    if (c == '.') return field();
    if (c == '"' || c == '`') return quoted(c);
    if ((c >= '0' && c <= '9') || c == '-' || c == '+') return number();
    fail("expected $labels.name, $value, a text or a number, found \"" +
         std::string(text_.substr(at_, 20)) + "\"");
    return std::nullopt;
  }

  std::optional<Template::Operand> variable() {
    if (text_.substr(at_).starts_with("$labels.")) {
      at_ += 8;
      return label_name();
    }
    if (text_.substr(at_).starts_with("$value") &&
        (at_ + 6 == text_.size() || !is_name_character(text_[at_ + 6]))) {
      at_ += 6;
      return Template::ValueOperand{};
    }
    fail("unknown variable \"" + std::string(text_.substr(at_, 20)) +
         "\"; known: $labels.name, $value");
    return std::nullopt;
  }

  std::optional<Template::Operand> field() {
    if (text_.substr(at_).starts_with(".Labels.")) {
      at_ += 8;
      return label_name();
    }
    if (text_.substr(at_).starts_with(".Value") &&
        (at_ + 6 == text_.size() || !is_name_character(text_[at_ + 6]))) {
      at_ += 6;
      return Template::ValueOperand{};
    }
    fail("unknown field \"" + std::string(text_.substr(at_, 20)) +
         "\"; known: .Labels.name, .Value");
    return std::nullopt;
  }

  std::optional<Template::Operand> label_name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    if (begin == at_) {
      fail("expected a label's name after the point");
      return std::nullopt;
    }
    return Template::LabelOperand{std::string(text_.substr(begin, at_ - begin))};
  }

  std::optional<Template::Operand> quoted(char mark) {
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == mark) {
        ++at_;
        return value;
      }
      if (text_[at_] == '\\' && mark == '"' && at_ + 1 < text_.size()) {
        ++at_;
        value += text_[at_] == 'n' ? '\n' : text_[at_] == 't' ? '\t' : text_[at_];
      } else {
        value += text_[at_];
      }
    }
    fail("a text is not closed");
    return std::nullopt;
  }

  std::optional<Template::Operand> number() {
    const size_t begin = text_[at_] == '+' ? at_ + 1 : at_;
    double value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + begin, text_.data() + text_.size(), value);
    if (error != std::errc()) {
      fail("expected a number");
      return std::nullopt;
    }
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  std::string_view text_;
  size_t offset_;
  size_t at_ = 0;
  std::string error_;
};

void trim_end(std::string& text) {
  while (!text.empty() &&
         (text.back() == ' ' || text.back() == '\n' || text.back() == '\t' || text.back() == '\r'))
    text.pop_back();
}

net::Error fault(std::string detail) {
  return {net::Code::bad_config, net::Side::self, false, std::move(detail)};
}

/// Where the closing braces of an action are: not those within a text.
size_t find_close(std::string_view text, size_t from) {
  char inside = 0;
  for (size_t at = from; at + 1 < text.size(); ++at) {
    const char c = text[at];
    if (inside != 0) {
      if (c == '\\' && inside == '"') {
        ++at;
      } else if (c == inside) {
        inside = 0;
      }
    } else if (c == '"' || c == '`') {
      inside = c;
    } else if (c == '}' && text[at + 1] == '}') {
      return at;
    }
  }
  return std::string_view::npos;
}

}  // namespace

net::Result<Template> Template::parse(std::string_view text) {
  if (text.size() > kMaxTemplateBytes) return fault("a template has at most 64 KiB");
  Template made;
  made.text_ = text;
  size_t at = 0;
  bool trim_next = false;
  while (at < text.size()) {
    const size_t open = text.find("{{", at);
    std::string literal(text.substr(at, open == std::string_view::npos ? open : open - at));
    if (trim_next) literal.erase(0, std::min(literal.find_first_not_of(" \n\t\r"), literal.size()));
    trim_next = false;
    if (open == std::string_view::npos) {
      made.parts_.emplace_back(std::move(literal));
      break;
    }
    size_t begin = open + 2;
    if (text.substr(begin).starts_with("- ")) {
      trim_end(literal);
      ++begin;
    }
    if (!literal.empty()) made.parts_.emplace_back(std::move(literal));
    const size_t close = find_close(text, begin);
    if (close == std::string_view::npos)
      return fault("at character " + std::to_string(open + 1) + ": {{ without }}");
    size_t end = close;
    if (end >= begin + 2 && text.substr(end - 2, 2) == " -") {
      end -= 2;
      trim_next = true;
    }
    Reader reader(text.substr(begin, end - begin), begin);
    auto pipeline = reader.pipeline();
    if (!pipeline) return fault(reader.error());
    made.parts_.emplace_back(std::move(*pipeline));
    at = close + 2;
  }
  return made;
}

std::string Template::expand(const LabelMap& labels, double value) const {
  const auto evaluate = [&](const Operand& operand) -> Value {
    if (const auto* label = std::get_if<LabelOperand>(&operand)) {
      const auto at = labels.find(label->name);
      return at == labels.end() ? std::string() : at->second;
    }
    if (std::holds_alternative<ValueOperand>(operand)) return value;
    if (const auto* text = std::get_if<std::string>(&operand)) return *text;
    return std::get<double>(operand);
  };
  std::string out;
  for (const Part& part : parts_) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      out += *literal;
      continue;
    }
    const auto& pipeline = std::get<Pipeline>(part);
    std::optional<Value> current;
    if (!pipeline.first.empty()) current = evaluate(pipeline.first.front());
    for (const Call& call : pipeline.calls) {
      std::vector<Value> arguments;
      for (const Operand& argument : call.arguments) arguments.push_back(evaluate(argument));
      if (current) arguments.push_back(std::move(*current));
      current = applied(call.function, arguments);
    }
    if (current) out += as_text(*current);
    if (out.size() > 2 * kMaxExpandedBytes) break;
  }
  return std::string(telemetry::cut_utf8(out, kMaxExpandedBytes));
}

}  // namespace hms::collector
