#include "net/core/line_writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace hms::net {
namespace {

/// A pipe of the smallest size.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 4'096) >= 4'096);
  }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  std::string read_until(const std::string& last) {
    std::string all;
    char some[4'096];
    while (all.find(last) == std::string::npos) {
      const ssize_t count = ::read(ends[0], some, sizeof(some));
      if (count <= 0) break;
      all.append(some, static_cast<size_t>(count));
    }
    return all;
  }
};

std::string tell(uint64_t dropped) { return "lost " + std::to_string(dropped) + "\n"; }

}  // namespace

TEST_CASE("line_writer: a reader that keeps up gets each line at once, in this thread") {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], tell);
  CHECK(fcntl(pipe.ends[0], F_SETFL, O_NONBLOCK) == 0);
  for (const std::string line : {"one\n", "two\n", "three\n"}) {
    writer.write(line);
    CHECK(pipe.read_until(line) == line);  // a pipe of one page is full with one line in it
  }
}

TEST_CASE("line_writer: nobody waits for a reader that does not read, and what is lost is told") {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], tell);
  const std::string line = std::string(999, 'x') + "\n";
  const size_t room = 2 * LineWriter::kBacklogBytes / line.size();
  for (size_t i = 0; i < room + 100; ++i) writer.write(line);
  const uint64_t dropped = writer.dropped();
  CHECK(dropped > 0);
  const std::string all = pipe.read_until("lost");
  size_t whole = 0;
  for (size_t at = 0; all.compare(at, line.size(), line) == 0; at += line.size()) ++whole;
  CHECK(whole + dropped == room + 100);
  CHECK(writer.flush(Millis{10'000}));
  writer.write("and on\n");
  CHECK(all.substr(whole * line.size()) + pipe.read_until("and on\n") ==
        tell(dropped) + "and on\n");
}

TEST_CASE("line_writer: a line beyond a pipe's size arrives whole and in its place") {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], tell);
  const std::string line = std::string(20'000, 'x') + "\n";
  writer.write("first\n");
  writer.write(line);
  writer.write("last\n");
  CHECK(pipe.read_until("last\n") == "first\n" + line + "last\n");
}

}  // namespace hms::net
