#include "collector/store/chunk_messages.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "collector/store/chunk_values.h"

namespace hms::collector {
namespace {

// In a template: the mark, then what stands here. A mark in the message itself is escaped.
constexpr char kMark = '\x01';
constexpr char kNumber = 'd';  // as it is written without leading zeros
constexpr char kPadded = 'w';  // then one byte: how many digits
constexpr char kHex = 'h';     // then one byte: how many digits
constexpr char kEscaped = 'e';
constexpr size_t kMostDigits = 18;  // below 2^63
constexpr size_t kLeastHex = 4, kMostHex = 64;
constexpr size_t kFrequent = 64;  // lines of a template whose places have columns of their own

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_word(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

void MessagesWriter::take_digits(std::string_view digits) {
  for (; digits.size() > kMostDigits; digits.remove_prefix(1)) text_ += digits.front();
  uint64_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<uint64_t>(c - '0');
  text_ += kMark;
  if (digits.front() == '0' && digits.size() > 1) {
    text_ += kPadded;
    text_ += static_cast<char>(digits.size());
  } else {
    text_ += kNumber;
  }
  numbers_.push_back(value);
}

bool MessagesWriter::take_hex(std::string_view word) {
  if (word.size() < kLeastHex || word.size() > kMostHex || word.size() % 2 != 0) return false;
  bool digit = false, letter = false;
  for (const char c : word) {
    if (hex_value(c) < 0) return false;
    (is_digit(c) ? digit : letter) = true;
  }
  if (!digit || !letter) return false;
  for (size_t i = 0; i < word.size(); i += 2)
    hex_ += static_cast<char>(hex_value(word[i]) << 4 | hex_value(word[i + 1]));
  text_ += kMark;
  text_ += kHex;
  text_ += static_cast<char>(word.size());
  return true;
}

void MessagesWriter::take_word(std::string_view word) {
  if (take_hex(word)) return;
  while (!word.empty()) {
    size_t end = 1;
    const bool digits = is_digit(word.front());
    while (end < word.size() && is_digit(word[end]) == digits) ++end;
    if (digits)
      take_digits(word.substr(0, end));
    else
      text_ += word.substr(0, end);
    word.remove_prefix(end);
  }
}

void MessagesWriter::take_apart(std::string_view message) {
  text_.clear();
  hex_.clear();
  numbers_.clear();
  while (!message.empty()) {
    size_t end = 0;
    bool plain = true;  // letters alone: most words
    for (; end < message.size() && is_word(message[end]); ++end)
      plain = plain && !is_digit(message[end]);
    if (end > 0) {
      if (plain)
        text_ += message.substr(0, end);
      else
        take_word(message.substr(0, end));
      message.remove_prefix(end);
      continue;
    }
    text_ += message.front();
    if (message.front() == kMark) text_ += kEscaped;
    message.remove_prefix(1);
  }
}

void MessagesWriter::add(std::string_view message) {
  take_apart(message);
  auto it = by_text_.find(text_);
  if (it == by_text_.end()) {
    templates_.push_back({text_, 0, {}, {}});
    it = by_text_.try_emplace(templates_.back().text, static_cast<uint32_t>(templates_.size() - 1))
             .first;
  }
  Template& of = templates_[it->second];
  ++of.lines;
  of.numbers.insert(of.numbers.end(), numbers_.begin(), numbers_.end());
  of.hex += hex_;
  codes_.push_back(it->second);
}

void MessagesWriter::write(ColumnWriter& out, Packing packing) const {
  std::vector<std::string_view> texts;
  std::string hex;
  for (const Template& of : templates_) {
    texts.push_back(of.text);
    hex += of.hex;
  }
  out.varint(texts.size());
  write_texts(out, texts, packing);
  write_codes(out, codes_, texts.size(), {}, {}, packing);
  std::vector<uint64_t> rest, column;
  for (const Template& of : templates_) {
    if (of.lines < kFrequent) {
      rest.insert(rest.end(), of.numbers.begin(), of.numbers.end());
      continue;
    }
    const size_t places = of.numbers.size() / of.lines;
    for (size_t place = 0; place < places; ++place) {
      column.clear();
      for (size_t i = place; i < of.numbers.size(); i += places) column.push_back(of.numbers[i]);
      write_numbers(out, column, packing);
    }
  }
  write_numbers(out, rest, packing);
  out.text(hex);
}

// ---------------------------------------------------------------- reading

namespace {

/// A template in its pieces: the text before each variable, and what the variable is.
struct Piece {
  std::string_view before;
  char kind = 0;  // 0: the end of the message
  uint8_t digits = 0;
};

struct Form {
  std::vector<Piece> pieces;
  size_t places = 0, hex_bytes = 0;  // of one line
  size_t lines = 0;
  std::vector<Numbers> columns;        // frequent: one a place
  size_t next_line = 0;                // in `columns`
  size_t next_rest = 0, next_hex = 0;  // in what all share
};

bool parse_form(std::string_view text, Form& form) {
  while (true) {
    const size_t mark = text.find(kMark);
    if (mark == std::string_view::npos) {
      form.pieces.push_back({text, 0, 0});
      return true;
    }
    Piece piece{text.substr(0, mark), 0, 0};
    text.remove_prefix(mark + 1);
    if (text.empty()) return false;
    piece.kind = text.front();
    text.remove_prefix(1);
    if (piece.kind == kPadded || piece.kind == kHex) {
      if (text.empty()) return false;
      piece.digits = static_cast<uint8_t>(text.front());
      text.remove_prefix(1);
    }
    if (piece.kind == kHex) {
      if (piece.digits > kMostHex || piece.digits % 2 != 0) return false;
      form.hex_bytes += piece.digits / 2;
    } else if (piece.kind == kNumber || piece.kind == kPadded) {
      if (piece.digits > kMostDigits) return false;
      ++form.places;
    } else if (piece.kind != kEscaped) {
      return false;
    }
    form.pieces.push_back(piece);
  }
}

class MessagesReader {
 public:
  MessagesReader(ColumnReader& in, size_t count, BlockArena& arena)
      : in_(in), count_(count), arena_(arena) {}

  void read(std::vector<std::string_view>& out) {
    const uint64_t templates = in_.varint();
    if (templates > count_) in_.fail();
    if (in_.failed() || count_ == 0) return;
    const Texts texts = Texts::read(in_, templates, arena_);
    if (in_.failed()) return;
    const Codes codes = Codes::read(in_, count_, templates, {}, arena_);
    if (in_.failed() || !read_forms(texts, codes)) return in_.fail();
    std::string messages;
    std::vector<size_t> ends;
    ends.reserve(count_);
    for (size_t i = 0; i < count_; ++i) {
      append(forms_[codes.at(i, i)], messages);
      if (messages.size() > kMaxChunkBytes) return in_.fail();
      ends.push_back(messages.size());
    }
    const std::string_view kept = arena_.keep(std::move(messages));
    size_t begin = 0;
    for (const size_t end : ends) {
      out.push_back(kept.substr(begin, end - begin));
      begin = end;
    }
  }

 private:
  bool read_forms(const Texts& texts, const Codes& codes) {
    forms_.resize(texts.size());
    for (size_t i = 0; i < forms_.size(); ++i) {
      if (!parse_form(texts.at(i), forms_[i])) return false;
    }
    for (size_t i = 0; i < count_; ++i) ++forms_[codes.at(i, i)].lines;
    size_t rest = 0, hex = 0;
    for (Form& form : forms_) {
      form.next_hex = hex;
      hex += form.hex_bytes * form.lines;
      if (form.lines < kFrequent) {
        form.next_rest = rest;
        rest += form.places * form.lines;
        if (rest > kMaxChunkRows) return false;
        continue;
      }
      for (size_t place = 0; place < form.places && !in_.failed(); ++place)
        form.columns.push_back(Numbers::read(in_, form.lines, arena_));
    }
    if (in_.failed()) return false;
    rest_ = Numbers::read(in_, rest, arena_);
    hex_ = in_.text();
    return !in_.failed() && hex_.size() == hex;
  }

  void append(Form& form, std::string& out) {
    size_t place = 0;
    for (const Piece& piece : form.pieces) {
      out += piece.before;
      if (piece.kind == kEscaped) {
        out += kMark;
      } else if (piece.kind == kHex) {
        append_hex(hex_.substr(form.next_hex, piece.digits / 2U), out);
        form.next_hex += piece.digits / 2U;
      } else if (piece.kind != 0) {
        append_number(form.columns.empty() ? rest_.at(form.next_rest++)
                                           : form.columns[place].at(form.next_line),
                      piece.digits, out);
        ++place;
      }
    }
    ++form.next_line;
  }
  static void append_hex(std::string_view bytes, std::string& out) {
    static constexpr char kDigits[] = "0123456789abcdef";
    for (const char c : bytes) {
      out += kDigits[static_cast<uint8_t>(c) >> 4];
      out += kDigits[static_cast<uint8_t>(c) & 15];
    }
  }
  static void append_number(uint64_t value, size_t digits, std::string& out) {
    std::array<char, 20> text{};
    const char* const end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    const auto size = static_cast<size_t>(end - text.data());
    if (size < digits) out.append(digits - size, '0');
    out.append(text.data(), size);
  }

  ColumnReader& in_;
  const size_t count_;
  BlockArena& arena_;
  std::vector<Form> forms_;
  Numbers rest_;
  std::string_view hex_;
};

}  // namespace

void read_messages(ColumnReader& in, size_t count, BlockArena& arena,
                   std::vector<std::string_view>& out) {
  MessagesReader(in, count, arena).read(out);
}

}  // namespace hms::collector
