#include "proxy/exchange_state.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using namespace hms::proxy;

namespace {

/// All steps that there are, as pairs of numbers.
template <class Side>
std::vector<std::pair<int, int>> steps(int count) {
  std::vector<std::pair<int, int>> found;
  for (int now = 0; now < count; ++now) {
    for (int next = 0; next < count; ++next) {
      if (leads_to(static_cast<Side>(now), static_cast<Side>(next))) found.emplace_back(now, next);
    }
  }
  return found;
}

using Steps = std::vector<std::pair<int, int>>;

}  // namespace

TEST_CASE("exchange_state: a request is read once, from its head to its end") {
  CHECK(steps<FromCaller>(3) == Steps{{0, 1}, {1, 2}});
}

TEST_CASE("exchange_state: a connection gets all of a request in order, and may be lost anywhere") {
  CHECK(steps<ToService>(4) == Steps{{0, 0}, {0, 1}, {1, 0}, {1, 2}, {2, 0}, {2, 3}, {3, 0}});
}

TEST_CASE("exchange_state: a connection that is spent is never used again") {
  CHECK(steps<FromService>(4) ==
        Steps{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 2}, {1, 3}, {2, 3}, {3, 3}});
}

TEST_CASE("exchange_state: a reply to the caller is never begun twice") {
  CHECK(steps<ToCaller>(3) == Steps{{0, 1}, {0, 2}, {1, 2}});
}
