#include "net/core/result.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <set>
#include <string>

namespace hms::net {
namespace {

Result<std::unique_ptr<int>> make_number(bool well) {
  if (well) return std::make_unique<int>(42);
  return Error{.code = Code::connect_failed,
               .side = Side::upstream,
               .may_retry = true,
               .detail = "127.0.0.1:8080: connection refused"};
}

Result<void> check_number(int number) {
  if (number >= 0) return {};
  return Error{.code = Code::bad_config, .detail = "negative"};
}

/// True if `action` ends a child process by SIGABRT.
template <class Action>
bool aborts(Action action) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);  // not the test runner's
    close(STDERR_FILENO);
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace

TEST_CASE("result: a value comes out by move, an error keeps its side and whether to retry") {
  auto good = make_number(true);
  REQUIRE(good.ok());
  CHECK(**good == 42);
  const std::unique_ptr<int> taken = std::move(good).value();
  CHECK(*taken == 42);

  const auto bad = make_number(false);
  REQUIRE(!bad);
  CHECK(bad.error().side == Side::upstream);
  CHECK(bad.error().may_retry);
  CHECK(to_string(bad.error()) == "connect_failed: 127.0.0.1:8080: connection refused");
}

TEST_CASE("result: success without a value") {
  CHECK(check_number(1).ok());
  CHECK(check_number(-1).error().code == Code::bad_config);
  CHECK(to_string(Error{.code = Code::timeout}) == "timeout");
}

TEST_CASE("result: reading the wrong one aborts") {
  CHECK(aborts([] { (void)*make_number(false); }));
  CHECK(aborts([] { (void)make_number(true).error(); }));
  CHECK(aborts([] { (void)check_number(1).error(); }));
}

TEST_CASE("result: each code and each side has a name of its own") {
  std::set<std::string_view> names;
  const int last = static_cast<int>(Code::unavailable);
  for (int code = 0; code <= last; ++code) names.insert(code_name(static_cast<Code>(code)));
  CHECK(names.size() == static_cast<size_t>(last) + 1);
  CHECK(!names.contains("unknown"));
  CHECK(side_name(Side::downstream) == "downstream");
}

}  // namespace hms::net
