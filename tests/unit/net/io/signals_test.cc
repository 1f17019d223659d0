#include "net/io/signals.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace hms::net {

TEST_CASE(
    "signals: terminate and reload arrive on the loop, also when the handler uninstalls itself") {
  Loop loop;
  int terminated = 0;
  int reloaded = 0;
  std::unique_ptr<Signals> signals;
  signals = Signals::install(loop, {.on_terminate = [&] { ++terminated; },
                                    .on_reload =
                                        [&] {
                                          ++reloaded;
                                          signals.reset();
                                        }});
  const auto until = [&](const std::function<bool()>& done) {
    return loop.run_until(done, Millis(10'000));
  };
  kill(getpid(), SIGTERM);
  CHECK(until([&] { return terminated == 1; }));
  kill(getpid(), SIGINT);
  CHECK(until([&] { return terminated == 2; }));
  kill(getpid(), SIGHUP);
  CHECK(until([&] { return reloaded == 1; }));
  CHECK(signals == nullptr);
}

TEST_CASE("signals: writing to a closed socket is an error, not the end") {
  ignore_sigpipe();
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  close(ends[0]);
  CHECK(write(ends[1], "x", 1) == -1);
  CHECK(errno == EPIPE);
  close(ends[1]);
}

}  // namespace hms::net
