#include "collector/store/text_fold.h"

#include <doctest/doctest.h>

#include <random>

#include "collector/store/chunk_filter.h"

namespace hms::collector {
namespace {

std::string utf8(uint32_t letter) {
  const auto rest = [letter](int shift) {
    return static_cast<char>(0x80 | ((letter >> shift) & 0x3F));
  };
  if (letter < 0x80) return {static_cast<char>(letter)};
  if (letter < 0x800) return {static_cast<char>(0xC0 | (letter >> 6)), rest(0)};
  if (letter < 0x10000) return {static_cast<char>(0xE0 | (letter >> 12)), rest(6), rest(0)};
  return {static_cast<char>(0xF0 | (letter >> 18)), rest(12), rest(6), rest(0)};
}

bool finds(std::string_view question, std::string_view text) {
  return contains_folded(text, fold_text(question));
}

bool has_beyond_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80) return true;
  }
  return false;
}

TEST_CASE("text fold: letters are found in either case, in every script that has two") {
  CHECK(finds("ÄRGER", "kein Ärger heute"));
  CHECK(finds("ärger", "KEIN ÄRGER HEUTE"));
  CHECK(finds("ошибка", "ОШИБКА 17"));
  CHECK(finds("ΣΊΣΥΦΟΣ", "ο σίσυφος"));  // σ inside and ς at the end are one letter
  CHECK(finds("σίσυφοσ", "ΣΊΣΥΦΟΣ"));
  CHECK(finds("STRAẞE", "straße"));
  CHECK(finds("ԲԱՐԵՒ", "բարեւ"));
  CHECK(finds("𐐔𐐇", "𐐼𐐯"));  // four bytes a letter
  CHECK(finds("Ⱥ", "ⱥ"));    // two bytes and three
  CHECK(finds("注文 ERROR", "注文 error 9"));
  CHECK(finds("", "anything"));
  CHECK_FALSE(finds("ärger", "arger"));
}

TEST_CASE("text fold: what it does not do") {
  CHECK_FALSE(finds("STRASSE", "straße"));
  // Turkish: each of the four letters is itself, and i and I are one, as everywhere else.
  CHECK_FALSE(finds("istanbul", "İstanbul"));
  CHECK_FALSE(finds("ISPARTA", "ısparta"));
  CHECK(finds("İSTANBUL", "İstanbul"));
  CHECK(finds("ISPARTA", "isparta"));
  CHECK_FALSE(finds("kelvin", "\u212Aelvin"));
  CHECK_FALSE(finds("is", "i\u017F"));      // the long s
  CHECK_FALSE(finds("\u00E9", "e\u0301"));  // composed or not: as sent
  CHECK(finds("E\u0301", "caf\u0065\u0301 noir"));
}

TEST_CASE("text fold: what is no UTF-8 stays byte for byte, and what is around it is found") {
  CHECK(fold_text("\xFF\xC3(Ä\xC3") == "\xFF\xC3(ä\xC3");
  CHECK(fold_text("\xED\xA0\x80\xC0\x80\xF5") ==
        "\xED\xA0\x80\xC0\x80\xF5");  // surrogate, overlong
  CHECK(finds("ÄRGER", "\xFFÄrger\xE2\x82"));
  CHECK(finds("\xFF\xFE", "a\xFF\xFE"));
}

TEST_CASE("text fold: of every letter, folding twice is folding once, and ASCII stays apart") {
  size_t folded = 0;
  for (uint32_t letter = 0; letter <= 0x10FFFF; ++letter) {
    if (letter >= 0xD800 && letter < 0xE000) continue;
    const std::string text = utf8(letter), once = fold_text(text);
    folded += once != text ? 1 : 0;
    const bool fine = fold_text(once) == once && (letter < 0x80) == !has_beyond_ascii(once);
    if (!fine) FAIL_CHECK("letter " << letter);
  }
  CHECK(folded > 1'300);  // Unicode 15 has some 1,400 capital letters
}

TEST_CASE("text fold: ASCII is told at every length and place") {
  for (size_t length = 0; length < 40; ++length) {
    std::string text(length, 'x');
    CHECK(is_ascii(text));
    for (size_t at = 0; at < length; ++at) {
      text[at] = '\x80';
      CHECK_FALSE(is_ascii(text));
      text[at] = 'x';
    }
  }
}

TEST_CASE("text fold: no filter hides a line that fits") {
  static constexpr const char* kPieces[] = {"Ärger", "ΣΊΣΥΦΟΣ ", "ς",      "order ", "İ",
                                            "ı",     "K",        "k",      "ß",      "ẞ",
                                            "\xC3",  "\xA4",     "ОШибка", "7"};
  std::mt19937_64 random(5);
  const auto text_of = [&random](size_t pieces) {
    std::string text;
    for (size_t i = 0; i < pieces; ++i) text += kPieces[random() % std::size(kPieces)];
    return text;
  };
  size_t fitting = 0;
  for (int round = 0; round < 30; ++round) {
    const std::string line = text_of(8);
    FilterBuilder builder;
    builder.add_text(line);
    const std::string filter = builder.finish();
    for (int i = 0; i < 200; ++i) {
      const std::string question = text_of(1 + random() % 2);
      if (!finds(question, line)) continue;
      ++fitting;
      FilterQuestion asked;
      asked.need_text(question);
      CHECK(asked.may_match(filter));
    }
  }
  CHECK(fitting > 500);
}

}  // namespace
}  // namespace hms::collector
