// lexer.cc: see lexer.h. Source: prometheus/promql/parser/lex.go for what a word, a number and a
// duration are.
#include "collector/query/promql/lexer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "collector/query/promql/ast.h"

namespace hms::collector::promql {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_alpha(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_alnum(char c) noexcept { return is_alpha(c) || is_digit(c); }
bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (point >> 6)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (point >> 12)));
    out.push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | (point >> 18)));
    out.push_back(static_cast<char>(0x80 | ((point >> 12) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  net::Result<std::vector<Token>> run() {
    while (true) {
      skip_blanks();
      begin_ = at_;
      if (at_ >= text_.size()) {
        push(TokenKind::end);
        return std::move(tokens_);
      }
      if (!next()) return syntax_error(text_, error_.position, error_.sentence);
    }
  }

 private:
  bool next() {
    const char c = text_[at_];
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number_or_duration();
    if (is_alpha(c) || (c == ':' && !in_brackets_)) return word();
    if (c == '"' || c == '\'') return escaped_text(c);
    if (c == '`') return raw_text();
    return symbol(c);
  }

  bool symbol(char c) {
    const char second = peek(1);
    switch (c) {
      case '(':
        return one(TokenKind::left_paren);
      case ')':
        return one(TokenKind::right_paren);
      case '{':
        return one(TokenKind::left_brace);
      case '}':
        return one(TokenKind::right_brace);
      case '[':
        in_brackets_ = true;
        return one(TokenKind::left_bracket);
      case ']':
        in_brackets_ = false;
        return one(TokenKind::right_bracket);
      case ',':
        return one(TokenKind::comma);
      case ':':
        return one(TokenKind::colon);
      case '@':
        return one(TokenKind::at);
      case '+':
        return one(TokenKind::plus);
      case '-':
        return one(TokenKind::minus);
      case '*':
        return one(TokenKind::star);
      case '/':
        return one(TokenKind::slash);
      case '%':
        return one(TokenKind::percent);
      case '^':
        return one(TokenKind::caret);
      case '=':
        if (second == '=') return two(TokenKind::equal_equal);
        if (second == '~') return two(TokenKind::match_regex);
        return one(TokenKind::assign);
      case '!':
        if (second == '=') return two(TokenKind::not_equal);
        if (second == '~') return two(TokenKind::match_not_regex);
        return fail(at_, "unexpected character after \"!\": expected \"!=\" or \"!~\"");
      case '<':
        return second == '=' ? two(TokenKind::less_equal) : one(TokenKind::less);
      case '>':
        return second == '=' ? two(TokenKind::greater_equal) : one(TokenKind::greater);
    }
    return fail(at_, "unexpected character: " + quoted(text_.substr(at_, 1)));
  }

  bool word() {
    while (at_ < text_.size() && (is_alnum(text_[at_]) || (text_[at_] == ':' && !in_brackets_)))
      ++at_;
    push(TokenKind::identifier).value = std::string(text_.substr(begin_, at_ - begin_));
    return true;
  }

  bool number_or_duration() {
    double value = 0;
    if (scan_number(value)) {
      push(TokenKind::number).number = value;
      return true;
    }
    at_ = begin_;
    while (at_ < text_.size() && (is_alnum(text_[at_]) || text_[at_] == '.')) ++at_;
    int64_t millis = 0;
    const std::string_view run = text_.substr(begin_, at_ - begin_);
    if (!parse_duration(run, millis))
      return fail(begin_, "bad number or duration syntax: " + quoted(run));
    push(TokenKind::duration).number = static_cast<double>(millis);
    return true;
  }

  // Underscores may part digits, as in Go ("1_000").
  std::string digits_run(bool hex) {
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (hex ? hex_value(c) >= 0 : is_digit(c)) {
        out.push_back(c);
      } else if (c != '_' || out.empty() || (hex ? hex_value(peek(1)) < 0 : !is_digit(peek(1)))) {
        break;
      }
      ++at_;
    }
    return out;
  }

  bool scan_number(double& value) {
    if (text_[at_] == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
      at_ += 2;
      const std::string digits = digits_run(true);
      if (digits.empty() || follows_word()) return false;
      value = 0;
      for (const char c : digits) value = value * 16 + hex_value(c);
      return true;
    }
    std::string number = digits_run(false);
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      number += '.';
      number += digits_run(false);
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      size_t exponent = at_ + 1;
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      if (exponent >= text_.size() || !is_digit(text_[exponent])) return false;
      number += 'e';
      if (text_[exponent - 1] == '-') number += '-';
      at_ = exponent;
      number += digits_run(false);
    }
    if (follows_word()) return false;
    if (number.front() == '.') number.insert(0, "0");
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error == std::errc::result_out_of_range) {
      value =
          number.find("e-") != std::string::npos ? 0.0 : std::numeric_limits<double>::infinity();
    } else if (error != std::errc()) {
      return false;
    }
    return true;
  }

  [[nodiscard]] bool follows_word() const noexcept {
    return at_ < text_.size() && (is_alnum(text_[at_]) || text_[at_] == '.');
  }

  bool raw_text() {
    const size_t close = text_.find('`', at_ + 1);
    if (close == std::string_view::npos) return fail(begin_, "unterminated raw string");
    at_ = close + 1;
    push(TokenKind::text).value = std::string(text_.substr(begin_ + 1, close - begin_ - 1));
    return true;
  }

  bool escaped_text(char quote) {
    std::string out;
    ++at_;
    while (true) {
      if (at_ >= text_.size() || text_[at_] == '\n')
        return fail(begin_, "unterminated quoted string");
      const char c = text_[at_++];
      if (c == quote) break;
      if (c != '\\') {
        out.push_back(c);
      } else if (!escape(out, quote)) {
        return false;
      }
    }
    push(TokenKind::text).value = std::move(out);
    return true;
  }

  bool escape(std::string& out, char quote) {
    const size_t backslash = at_ - 1;
    if (at_ >= text_.size()) return fail(backslash, "escape sequence not terminated");
    const char c = text_[at_++];
    static constexpr std::string_view kNames = "abfnrtv\\";
    static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\";
    if (const size_t i = kNames.find(c); i != std::string_view::npos) {
      out.push_back(kValues[i]);
      return true;
    }
    if (c == quote) {
      out.push_back(c);
      return true;
    }
    if (c == 'x') return coded(out, backslash, 2, 16, 0xFF, false);
    if (c == 'u') return coded(out, backslash, 4, 16, 0x10FFFF, true);
    if (c == 'U') return coded(out, backslash, 8, 16, 0x10FFFF, true);
    if (c >= '0' && c <= '7') {
      --at_;
      return coded(out, backslash, 3, 8, 0xFF, false);
    }
    return fail(backslash, "unknown escape sequence " + quoted(std::string("\\") + c));
  }

  bool coded(std::string& out, size_t backslash, int digits, uint32_t base, uint32_t maximum,
             bool unicode) {
    uint64_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = at_ < text_.size() ? hex_value(text_[at_]) : -1;
      if (digit < 0 || static_cast<uint32_t>(digit) >= base) {
        return fail(backslash, "escape sequence needs " + std::to_string(digits) + " digits");
      }
      code = code * base + static_cast<uint32_t>(digit);
      ++at_;
    }
    if (code > maximum || (unicode && code >= 0xD800 && code <= 0xDFFF)) {
      return fail(backslash, "escape sequence is not a valid character");
    }
    if (unicode) {
      append_utf8(out, static_cast<uint32_t>(code));
    } else {
      out.push_back(static_cast<char>(code));
    }
    return true;
  }

  void skip_blanks() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (is_space(text_[at_])) {
        ++at_;
      } else {
        return;
      }
    }
  }

  [[nodiscard]] char peek(size_t ahead) const noexcept {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool one(TokenKind kind) {
    ++at_;
    push(kind);
    return true;
  }
  bool two(TokenKind kind) {
    at_ += 2;
    push(kind);
    return true;
  }
  Token& push(TokenKind kind) {
    Token token;
    token.kind = kind;
    token.begin = static_cast<uint32_t>(begin_);
    token.end = static_cast<uint32_t>(at_);
    return tokens_.emplace_back(std::move(token));
  }
  bool fail(size_t position, std::string sentence) {
    error_ = {static_cast<uint32_t>(position), std::move(sentence)};
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t begin_ = 0;
  bool in_brackets_ =
      false;  // a colon parts range and step there, and belongs to the name elsewhere
  std::vector<Token> tokens_;
  SyntaxError error_;
};

}  // namespace

net::Error syntax_error(std::string_view text, uint32_t position, std::string_view sentence) {
  size_t line = 1;
  size_t column = 1;
  for (size_t i = 0; i < position && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  net::Error error;
  error.code = net::Code::bad_message;
  error.side = net::Side::downstream;
  error.detail = std::to_string(line) + ":" + std::to_string(column) +
                 ": parse error: " + std::string(sentence);
  return error;
}

bool parse_duration(std::string_view text, int64_t& millis) noexcept {
  struct Unit {
    std::string_view name;
    int64_t millis;
  };
  static constexpr std::array<Unit, 7> kUnits = {{{"y", 365LL * 86'400'000},
                                                  {"w", 7LL * 86'400'000},
                                                  {"d", 86'400'000},
                                                  {"h", 3'600'000},
                                                  {"m", 60'000},
                                                  {"s", 1000},
                                                  {"ms", 1}}};
  constexpr int64_t kMax = 292LL * 365 * 86'400'000;  // what fits Go's time.Duration, as Prometheus
  if (text.empty()) return false;
  int64_t total = 0;
  size_t unit_index = 0;
  size_t i = 0;
  while (i < text.size()) {
    int64_t value = 0;
    const size_t digits = i;
    while (i < text.size() && is_digit(text[i])) {
      value = value * 10 + (text[i++] - '0');
      if (value > kMax) return false;
    }
    if (i == digits) return false;
    const size_t name = i;
    while (i < text.size() && is_alpha(text[i])) ++i;
    const std::string_view unit = text.substr(name, i - name);
    while (unit_index < kUnits.size() && kUnits[unit_index].name != unit) ++unit_index;
    if (unit_index == kUnits.size()) return false;
    if (value > kMax / kUnits[unit_index].millis) return false;
    total += value * kUnits[unit_index].millis;
    if (total > kMax) return false;
    ++unit_index;
  }
  millis = total;
  return true;
}

net::Result<std::vector<Token>> tokenize(std::string_view text) { return Lexer(text).run(); }

std::string describe(const Token& token, std::string_view text) {
  if (token.kind == TokenKind::end) return "end of input";
  const std::string_view raw = text.substr(token.begin, token.end - token.begin);
  switch (token.kind) {
    case TokenKind::text:
      return "string " + std::string(raw.substr(0, 80));
    case TokenKind::number:
      return "number " + quoted(raw);
    case TokenKind::duration:
      return "duration " + quoted(raw);
    case TokenKind::identifier:
      return "identifier " + quoted(raw.substr(0, 80));
    default:
      return quoted(raw);
  }
}

}  // namespace hms::collector::promql
