#include "proxy/route_learner.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace hms::proxy;
using hms::telemetry::NameTable;

namespace {

struct Learner {
  NameTable names;
  RouteLearner learner{names};
  std::string operator()(std::string_view path, bool may_learn = true) {
    return names.name(learner.route("", path, may_learn));
  }
};

}  // namespace

TEST_CASE("route_learner: values of every kind become placeholders") {
  Learner learn;
  CHECK(learn("/") == "/");
  CHECK(learn("/claims/4711") == "/claims/{id}");
  CHECK(learn("/claims/0190a7e0-1234-7abc-8def-0123456789ab/parts") == "/claims/{uuid}/parts");
  CHECK(learn("/days/2026-11-22") == "/days/{date}");
  CHECK(learn("/at/2026-11-22T08:46:27Z") == "/at/{date}");
  CHECK(learn("/blobs/9f86d081884c7d65") == "/blobs/{hex}");
  CHECK(learn("/users/jo@example.org") == "/users/{email}");
  CHECK(learn("/users/jo%40example.org") == "/users/{email}");
  CHECK(learn("/t/dGhpcyBpcyBhIHRva2Vu8Q") == "/t/{token}");
  CHECK(learn("/t/" + std::string(80, 'x')) == "/t/{token}");
  CHECK(learn("/x/{id}\"") == "/x/{token}");
}

TEST_CASE("route_learner: words stay words") {
  for (const char* word : {"claims", "v1", "v2", "getting-started", "customer_orders", "index.html",
                           "configuration-management", "a1b2", "deadbeef", "InternationalOrders",
                           "oauth2", "report-2026"}) {
    CAPTURE(word);
    CHECK(placeholder_of(word).empty());
  }
}

TEST_CASE("route_learner: a place with too many names holds values") {
  Learner learn;
  CHECK(learn("/users/list") == "/users/list");
  for (int i = 0; i < 31; ++i)
    CHECK(learn("/users/name" + std::string(1, static_cast<char>('a' + i % 26)) +
                (i > 25 ? "x" : "") + "/cart") != "other");
  CHECK(learn("/users/one-more/cart") == "/users/{value}/cart");
  CHECK(learn("/users/list") == "/users/{value}");
  CHECK(learn("/users/namea/cart") == "/users/{value}/cart");
  CHECK(learn("/users/77/cart") == "/users/{id}/cart");
  CHECK(learn.learner.templates().size() == 3);
}

TEST_CASE("route_learner: what answers 404 names nothing, but known routes keep their names") {
  Learner learn;
  for (int i = 0; i < 1'000; ++i)
    CHECK(learn("/scan" + std::string(static_cast<size_t>(i % 40), 'a') + "/php", false) ==
          "other");
  CHECK(learn.learner.templates().empty());
  CHECK(learn.learner.folded() == 1'000);
  CHECK(learn("/claims/1") == "/claims/{id}");
  CHECK(learn("/claims/2", false) == "/claims/{id}");
}

TEST_CASE("route_learner: templates, services and depth are bounded") {
  Learner learn;
  for (int i = 0; i < 30; ++i) {
    for (int j = 0; j < 30; ++j)
      (void)learn("/" + std::string(1, static_cast<char>('a' + i)) + "w/" +
                  std::string(1, static_cast<char>('a' + j)) + "w");
  }
  CHECK(learn.learner.templates().size() == RouteLearner::kMaxTemplates);
  CHECK(learn("/zz/zz") == "other");
  std::string deep;
  for (int i = 0; i < 50; ++i) deep += "/s";
  Learner other;
  CHECK(other(deep).ends_with("/{rest}"));
  for (int i = 0; i < 100; ++i) (void)other.learner.route("host" + std::to_string(i), "/a", true);
  CHECK(other.learner.templates().size() <= RouteLearner::kMaxServices + 1);
}

TEST_CASE("route_learner: names that were folded count, so that there are never too many series") {
  const auto letters = [](int number) {
    return std::string{static_cast<char>('a' + number / 26), static_cast<char>('a' + number % 26),
                       'w'};
  };
  Learner learn;
  CHECK(learn("/first/name") == "/first/name");
  std::set<std::string> names;
  for (int top = 0; top < 30; ++top) {
    for (int below = 0; below < 34; ++below)  // the last ones fold the others into {value}
      names.insert(learn("/" + letters(top) + "/" + letters(below)));
    if (top == 15) learn.learner.adopt(learn.learner.learned());
  }
  CHECK(learn.learner.templates().size() < RouteLearner::kMaxTemplates);
  CHECK(names.size() <= RouteLearner::kMaxNames);
  CHECK(names.count("other") == 1);
  CHECK(learn("/first/name") == "/first/name");
}

TEST_CASE("route_learner: what is not a path is other") {
  Learner learn;
  CHECK(learn("*") == "other");
  CHECK(learn("") == "other");
  CHECK(learn("//") == "//");
}
