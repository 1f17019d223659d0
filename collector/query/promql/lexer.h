// lexer.h: PromQL text to tokens with their places. Thread: any. Limit: kMaxExpressionBytes
// (engine.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/core/result.h"

namespace hms::collector::promql {

enum class TokenKind : uint8_t {
  end,
  left_paren,
  right_paren,
  left_brace,
  right_brace,
  left_bracket,
  right_bracket,
  comma,
  colon,
  at,
  text,        // value: the unescaped string
  number,      // number
  duration,    // number, in milliseconds
  identifier,  // value: a word, also keywords (the parser knows by place)
  plus,
  minus,
  star,
  slash,
  percent,
  caret,
  equal_equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  assign,
  match_regex,
  match_not_regex,
};

struct Token {
  TokenKind kind = TokenKind::end;
  uint32_t begin = 0, end = 0;  // bytes
  std::string value;
  double number = 0;
};

struct SyntaxError {
  uint32_t position = 0;
  std::string sentence;
};
/// "1:23: parse error: ..." as an Error (Code::bad_message).
[[nodiscard]] net::Error syntax_error(std::string_view text, uint32_t position,
                                      std::string_view sentence);

/// The last token is `end`. Errors: bad_message with its place.
[[nodiscard]] net::Result<std::vector<Token>> tokenize(std::string_view text);

/// "1h30m" -> milliseconds. Units y w d h m s ms, falling, each once. False if it is not that or
/// overflows.
[[nodiscard]] bool parse_duration(std::string_view text, int64_t& millis) noexcept;

/// For messages: `")"`, `identifier "foo"`, `end of input`.
[[nodiscard]] std::string describe(const Token& token, std::string_view text);

}  // namespace hms::collector::promql
