// The label index and the matchers against plain models: every series looked at, every expression
// matched by its definition.
#include "collector/store/series_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>

using namespace hms::collector;
using Kind = LabelMatcher::Kind;

namespace {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }

 private:
  std::mt19937 engine_;
};

LabelSet random_labels(Random& random) {
  LabelSet out;
  for (const char* name : {"__name__", "code", "pod", "route"}) {
    if (random.below(5) == 0 && std::string(name) != "__name__") continue;
    out.emplace_back(name, std::string(1, static_cast<char>('a' + random.below(6))));
  }
  return out;
}

LabelMatcher random_matcher(Random& random) {
  static const std::vector<std::string> kNames = {"__name__", "code", "pod", "route", "absent"};
  static const std::vector<std::string> kTexts = {"a", "b", "f", "z", ""};
  static const std::vector<std::string> kPatterns = {"a|b", "[a-c]", ".*", ".+",
                                                     "",    "z",     "a|", "x?"};
  LabelMatcher out;
  out.name = kNames[random.below(static_cast<uint32_t>(kNames.size()))];
  out.kind = static_cast<Kind>(random.below(4));
  const bool plain = out.kind == Kind::equal || out.kind == Kind::not_equal;
  const auto& from = plain ? kTexts : kPatterns;
  out.value = from[random.below(static_cast<uint32_t>(from.size()))];
  return out;
}

}  // namespace

TEST_CASE("series index: finds what looking at every series finds, while series come and go") {
  Random random(42);
  SeriesIndex index;
  std::map<uint32_t, std::unique_ptr<LabelSet>> model;
  uint32_t next = 1;
  for (int round = 0; round < 3000; ++round) {
    if (random.below(3) > 0) {
      const uint32_t id = next += 1 + random.below(3);
      model[id] = std::make_unique<LabelSet>(random_labels(random));
      index.add(id, *model[id]);
    } else if (!model.empty()) {
      auto at = model.begin();
      std::advance(at, random.below(static_cast<uint32_t>(model.size())));
      index.remove(at->first, *at->second);
      model.erase(at);
    }
    std::vector<LabelMatcher> asked;
    for (uint32_t i = 0; i <= random.below(3); ++i) asked.push_back(random_matcher(random));
    const auto matchers = compile_matchers(asked);
    REQUIRE(matchers.ok());
    std::vector<uint32_t> expected;
    for (const auto& entry : model) {
      const bool fits = std::all_of(matchers->begin(), matchers->end(), [&](const auto& matcher) {
        return matcher.matches(label_value(*entry.second, matcher.name()));
      });
      if (fits) expected.push_back(entry.first);
    }
    REQUIRE(index.find(*matchers) == expected);
  }
  CHECK(model.size() > 500);
}

TEST_CASE("series set: holds what a plain set holds") {
  Random random(7);
  SeriesSet set;
  std::set<uint32_t> model;
  for (int round = 0; round < 5000; ++round) {
    const uint32_t id = random.below(2000);
    if (random.below(2) == 0) {
      set.insert(id);
      model.insert(id);
    } else {
      set.erase(id);
      model.erase(id);
    }
    const uint32_t asked = random.below(3000);
    REQUIRE(set.contains(asked) == model.contains(asked));
  }
}

TEST_CASE("series postings: are what plain sets are, short and long, joined and taken apart") {
  Random random(8);
  struct Both {
    SeriesPostings set;
    std::set<uint32_t> model;
  };
  const auto random_set = [&] {
    Both out;
    // About the length at which lists become bitmaps, and far beyond it.
    const uint32_t count = random.below(4) == 0 ? random.below(3000) : random.below(140);
    const uint32_t span = random.below(2) == 0 ? 200 : 200'000;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t id = random.below(span);
      out.set.insert(id);
      out.model.insert(id);
    }
    for (uint32_t i = 0; i < count / 2; ++i) {
      const uint32_t id = random.below(span);
      out.set.erase(id);
      out.model.erase(id);
    }
    return out;
  };
  const auto same = [](const Both& both) {
    const std::vector<uint32_t> wanted(both.model.begin(), both.model.end());
    return both.set.numbers() == wanted && both.set.size() == wanted.size() &&
           both.set.empty() == wanted.empty();
  };
  for (int round = 0; round < 300; ++round) {
    const Both a = random_set(), b = random_set(), c = random_set();
    REQUIRE(same(a));
    Both both{a.set.copy(), {}}, without{a.set.copy(), a.model}, all;
    both.set.intersect(b.set);
    without.set.subtract(b.set);
    for (const uint32_t id : a.model) {
      if (b.model.contains(id)) both.model.insert(id);
      CHECK(a.set.contains(id));
    }
    for (const uint32_t id : b.model) {
      without.model.erase(id);
      CHECK(a.set.contains(id) == a.model.contains(id));
    }
    const std::vector<const SeriesPostings*> sets = {&a.set, &b.set, &c.set};
    all.set = SeriesPostings::united(sets);
    for (const Both* one : {&a, &b, &c}) all.model.insert(one->model.begin(), one->model.end());
    REQUIRE(same(both));
    REQUIRE(same(without));
    REQUIRE(same(all));
    for (Both* one : {&both, &without, &all}) {
      one->set.insert(777);
      one->model.insert(777);
      REQUIRE(same(*one));
    }
  }
}

// ---- expressions by their definition

namespace {

/// An expression as a tree, its text, and the places that a match begun at `from` may end at.
struct Pattern {
  enum class Form { letter, any, either, both, star } form = Form::letter;
  char letter = 'a';
  std::vector<Pattern> parts;

  static Pattern make(Random& random, int depth) {
    Pattern out;
    const uint32_t dice = random.below(depth > 0 ? 8 : 3);
    if (dice < 3) {
      out.form = dice == 0 ? Form::any : Form::letter;
      out.letter = static_cast<char>('a' + random.below(3));
      return out;
    }
    out.form = dice == 3 ? Form::star : (dice < 6 ? Form::both : Form::either);
    for (int i = 0; i < (out.form == Form::star ? 1 : 2); ++i)
      out.parts.push_back(make(random, depth - 1));
    return out;
  }

  [[nodiscard]] std::string text() const {
    switch (form) {
      case Form::letter:
        return {letter};
      case Form::any:
        return ".";
      case Form::either:
        return "(" + parts[0].text() + "|" + parts[1].text() + ")";
      case Form::both:
        return parts[0].text() + parts[1].text();
      case Form::star:
        return "(" + parts[0].text() + ")*";
    }
    return "";
  }

  [[nodiscard]] std::set<size_t> ends(const std::string& in, size_t from) const {
    std::set<size_t> out;
    const auto then = [&in](const std::set<size_t>& places, const Pattern& next) {
      std::set<size_t> reached;
      for (const size_t at : places) reached.merge(next.ends(in, at));
      return reached;
    };
    switch (form) {
      case Form::letter:
      case Form::any:
        if (from < in.size() && (form == Form::any || in[from] == letter)) out.insert(from + 1);
        return out;
      case Form::either:
        out = parts[0].ends(in, from);
        out.merge(parts[1].ends(in, from));
        return out;
      case Form::both:
        return then(parts[0].ends(in, from), parts[1]);
      case Form::star:
        out.insert(from);
        for (size_t before = 0; before != out.size();) {
          before = out.size();
          out.merge(then(out, parts[0]));
        }
        return out;
    }
    return out;
  }
};

}  // namespace

TEST_CASE("series regex: matches whole texts as the definition of its operators says") {
  Random random(3);
  int matched = 0;
  for (int round = 0; round < 1500; ++round) {
    const Pattern pattern = Pattern::make(random, 4);
    const auto regex = Regex::compile(pattern.text());
    REQUIRE(regex.ok());
    for (int i = 0; i < 6; ++i) {
      std::string text;
      for (uint32_t n = random.below(7); n > 0; --n)
        text += random.below(9) == 0 ? '\n' : static_cast<char>('a' + random.below(3));
      const bool expected = pattern.ends(text, 0).contains(text.size());
      matched += expected ? 1 : 0;
      CHECK_MESSAGE(regex->matches(text) == expected, pattern.text(), " on ", text);
    }
    // A list of plain texts says the same as the expression.
    const std::vector<std::string>& plain = regex->literals();
    for (const std::string& one : plain) CHECK(regex->matches(one));
  }
  CHECK(matched > 500);
}
