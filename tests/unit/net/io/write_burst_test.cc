#include "net/io/write_burst.h"

#include <doctest/doctest.h>

#include <string>

#include "net/io/tcp_stream.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {
namespace {

/// `down` answers what `up` asks with what the test writes in its callback.
struct Asked : Pair {
  Asked() {
    connect();
    up->resume_reading();
    down->resume_reading();
  }
  void ask(std::function<void()> answer) {
    down_saw.when_bytes = std::move(answer);
    up->write("?");
  }
  /// Whether a byte waits in up's socket.
  bool arrived() { return !up->idle_and_open(); }
};

}  // namespace

TEST_CASE(
    "write burst: what a callback writes leaves after it, in order, also around large writes") {
  Asked pair;
  const std::string large(100'000, 'L');
  bool early = true;
  bool pushed_out = false;
  pair.ask([&] {
    pair.down->write("one ");
    pair.down->write("two ");
    early = pair.arrived();
    pair.down->write(large);
    pushed_out = pair.arrived();
    pair.down->write(" three");
  });
  CHECK(pair.until([&] { return pair.up_saw.bytes == "one two " + large + " three"; }));
  CHECK_FALSE(early);
  CHECK(pushed_out);
  CHECK(pair.down->bytes_written() == large.size() + 14);
}

TEST_CASE("write burst: more writes than it holds, in one callback, arrive in order") {
  Asked pair;
  std::string wanted;
  pair.ask([&] {
    for (int i = 0; i < 200; ++i) {
      const std::string one(static_cast<size_t>(i) * 20, static_cast<char>('a' + i % 26));
      wanted += one;
      pair.down->write(one);
    }
  });
  CHECK(pair.until([&] { return !wanted.empty() && pair.up_saw.bytes == wanted; }));
}

TEST_CASE("write burst: an end or a destructor comes behind what is held") {
  for (const bool destroyed : {false, true}) {
    Asked pair;
    pair.ask([&] {
      pair.down->write("last words");
      if (destroyed)
        pair.down.reset();
      else
        pair.down->shutdown_write();
    });
    CHECK(pair.until([&] { return pair.up_saw.eof; }));
    CHECK(pair.up_saw.bytes == "last words");
  }
}

TEST_CASE("write burst: a reader that takes nothing meets the queue behind what is held") {
  Asked pair;
  pair.up->pause_reading();
  const std::string piece(4'000, 'p');
  size_t written = 0;
  pair.ask([&] {
    while (!pair.down->above_high_watermark()) {
      pair.down->write(piece);
      written += piece.size();
    }
  });
  REQUIRE(pair.until([&] { return written > 0; }));
  CHECK(pair.down->queued_bytes() > 0);
  pair.up->resume_reading();
  CHECK(pair.until([&] { return pair.up_saw.bytes.size() == written; }));
  CHECK(pair.down->bytes_written() == written);
  CHECK(pair.down_saw.writable == 1);
}

}  // namespace hms::net
