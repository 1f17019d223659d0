#include "collector/store/chunk_filter.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "collector/store/text_fold.h"

namespace hms::collector {
namespace {

bool may_hold(const std::string& filter, std::string_view text) {
  FilterQuestion question;
  question.need_text(text);
  return question.may_match(filter);
}

TEST_CASE("chunk filter: whatever was added may match, in any part and case") {
  std::mt19937_64 random(11);
  FilterBuilder builder;
  std::vector<std::string> texts;
  for (int i = 0; i < 3'000; ++i) {
    std::string text;
    for (size_t n = random() % 60; n > 0; --n) text.push_back(static_cast<char>(random() % 256));
    builder.add_text(text);
    texts.push_back(std::move(text));
  }
  const std::string filter = builder.finish();
  for (const std::string& text : texts) {
    const size_t begin = text.empty() ? 0 : random() % text.size();
    const std::string_view part = std::string_view(text).substr(begin);
    if (contains_folded(text, fold_text(part))) CHECK(may_hold(filter, part));  // no cut letter
    std::string upper = text;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    CHECK(may_hold(filter, upper));
  }
}

TEST_CASE(
    "chunk filter: an id that is not there is ruled out among many like it, and a rare word too") {
  std::mt19937_64 random(12);
  const auto id = [&random] {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (int i = 0; i < 16; ++i) text.push_back(kDigits[random() % 16]);
    return text;
  };
  FilterBuilder builder;
  for (int i = 0; i < 8'000; ++i) builder.add_text("order " + id() + " was paid");
  const std::string filter = builder.finish();
  CHECK(filter.size() <= 66'000);
  int wrong = 0;
  for (int i = 0; i < 1'000; ++i) wrong += may_hold(filter, id()) ? 1 : 0;
  CHECK(wrong < 60);
  CHECK_FALSE(may_hold(filter, "zebra"));
  CHECK(may_hold(filter, "paid"));
}

TEST_CASE("chunk filter: values of different kinds do not stand for each other") {
  FilterBuilder builder;
  builder.add_value('s', "claims");
  builder.add_attribute("user", "7");
  const std::string filter = builder.finish();
  CHECK(filter.size() == 65);
  const auto asks = [&filter](auto&& fill) {
    FilterQuestion question;
    fill(question);
    return question.may_match(filter);
  };
  CHECK(asks([](FilterQuestion& q) { q.need_value('s', "claims"); }));
  CHECK_FALSE(asks([](FilterQuestion& q) { q.need_value('l', "claims"); }));
  CHECK(asks([](FilterQuestion& q) { q.need_attribute("user", "7"); }));
  CHECK_FALSE(asks([](FilterQuestion& q) { q.need_attribute("use", "r7"); }));
  FilterQuestion question;
  question.need_text("anything");
  CHECK(question.may_match(""));  // no filter: may hold anything
  CHECK(question.may_match(std::string(64, '\x7F')));
}

TEST_CASE("chunk filter: one of version 1, which folded A-Z alone, hides no line either") {
  // Of the text "Ärger mit ΣΊΣΥΦΟΣ", made by the description in docs/storage-format.md.
  static constexpr std::string_view kHex =
      "01a0012388006a43008404930088278000600407022a1440000203009060100300201c10880800c0"
      "808245180c0008202f11400c18158002060903044c018c2604";
  std::string filter;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < kHex.size(); i += 2)
    filter.push_back(static_cast<char>(digit(kHex[i]) * 16 + digit(kHex[i + 1])));
  for (const char* const question : {"ÄRGER MIT", "ärger", "σίσυφος", "ΣΊΣΥΦΟΣ", "rger m"})
    CHECK_MESSAGE(may_hold(filter, question), question);
  CHECK_FALSE(may_hold(filter, "zebra"));
  CHECK_FALSE(may_hold(filter, "Ä zebra Σ"));  // its ASCII still rules it out
}

}  // namespace
}  // namespace hms::collector
