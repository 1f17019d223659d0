#include "net/io/tcp_stream.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "net/io/signals.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace {
std::atomic<size_t> allocations{0};
}  // namespace

// Counts what the C++ side allocates; the steady-state test compares two readings.
void* operator new(size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace hms::net {
namespace {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 31) >> 4);
  return text;
}

/// A blocking client of the test's own, to do what a Stream would not.
int raw_client(const SocketAddress& address) {
  const int descriptor = socket(address.raw()->sa_family, SOCK_STREAM, 0);
  REQUIRE(::connect(descriptor, address.raw(), address.raw_length()) == 0);
  return descriptor;
}

}  // namespace

TEST_CASE("tcp stream: bytes go both ways, and a half-close keeps the other half open") {
  Pair pair;
  pair.connect();
  pair.up->resume_reading();
  pair.down->resume_reading();
  pair.up->write("ping");
  REQUIRE(pair.until([&] { return pair.down_saw.bytes == "ping"; }));
  pair.up->shutdown_write();
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
  pair.down->write("pong");
  REQUIRE(pair.until([&] { return pair.up_saw.bytes == "pong"; }));
  CHECK(pair.up_saw.closed == 0);
  pair.down->shutdown_write();
  REQUIRE(pair.until([&] { return pair.up_saw.closed == 1 && pair.down_saw.closed == 1; }));
  CHECK(pair.up_saw.eof);
  CHECK(pair.up_saw.code == Code::closed);
  CHECK(pair.up->bytes_read() == 4);
  CHECK(pair.up->bytes_written() == 4);
  CHECK(pair.up->peer() == pair.acceptor->local());
  CHECK(pair.down->peer() == pair.up->local());
}

TEST_CASE(
    "tcp stream: a large write meets back-pressure, arrives whole, and on_writable comes once it "
    "has drained") {
  Pair pair;
  pair.connect();
  const std::string sent = pattern(8 * 1024 * 1024);
  pair.up->write(sent);
  CHECK(pair.up->above_high_watermark());
  CHECK(pair.up->bytes_written() + pair.up->queued_bytes() == sent.size());
  bool low_enough = false;
  pair.up_saw.when_writable = [&] {
    low_enough = pair.up->queued_bytes() <= Stream::kLowWatermark;
  };
  pair.down->resume_reading();
  pair.up->shutdown_write();  // FIN only after the queue
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
  CHECK(pair.down_saw.bytes == sent);
  CHECK(pair.up_saw.writable == 1);
  CHECK(low_enough);
  CHECK(pair.up->queued_bytes() == 0);
  CHECK(pair.up->bytes_written() == sent.size());
}

TEST_CASE("tcp stream: more slices than one writev takes, with empty ones, arrive in order") {
  Pair pair;
  pair.connect();
  pair.down->resume_reading();
  std::vector<std::string> parts;
  std::string all;
  for (int i = 0; i < 500; ++i) {
    parts.push_back(i % 7 == 0 ? "" : std::to_string(i) + ",");
    all += parts.back();
  }
  const std::vector<std::string_view> slices(parts.begin(), parts.end());
  pair.up->write(slices);
  pair.up->write(std::span<const std::string_view>());
  pair.up->write("");
  REQUIRE(pair.until([&] { return pair.down_saw.bytes.size() >= all.size(); }));
  CHECK(pair.down_saw.bytes == all);
}

TEST_CASE("tcp stream: pauses are counted, and what comes meanwhile waits in the socket") {
  Pair pair;
  pair.connect();
  pair.down->pause_reading();
  pair.down->resume_reading();
  pair.up->write("hello");
  pair.up->shutdown_write();
  pair.settle();
  CHECK(pair.down_saw.bytes.empty());
  pair.down->resume_reading();
  CHECK(pair.down_saw.bytes.empty());  // never from inside the call
  REQUIRE(pair.until([&] { return pair.down_saw.bytes == "hello"; }));
  pair.down->pause_reading();
  pair.settle();
  pair.down->resume_reading();
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
}

TEST_CASE("tcp stream: pausing inside on_bytes holds back the rest and the end") {
  Pair pair;
  pair.connect();
  const std::string sent = pattern(300'000);
  pair.down_saw.when_bytes = [&] { pair.down->pause_reading(); };
  pair.down->resume_reading();
  pair.up->write(sent);
  pair.up->shutdown_write();
  for (int i = 0; !pair.down_saw.eof && i < 10'000; ++i) {
    const size_t before = pair.down_saw.bytes.size();
    REQUIRE(pair.until([&] { return pair.down_saw.bytes.size() > before || pair.down_saw.eof; }));
    if (pair.down_saw.eof) break;
    const size_t after = pair.down_saw.bytes.size();
    pair.settle();
    CHECK(pair.down_saw.bytes.size() == after);
    CHECK(!pair.down_saw.eof);
    pair.down->resume_reading();
  }
  CHECK(pair.down_saw.bytes == sent);
}

TEST_CASE("tcp stream: without a handler nothing is read, a later handler gets it all") {
  Pair pair;
  pair.connect();
  pair.down->set_handler(nullptr);
  pair.down->resume_reading();
  pair.up->write("kept");
  pair.settle();
  Recorder second;
  pair.down->set_handler(&second);
  REQUIRE(pair.until([&] { return second.bytes == "kept"; }));
  CHECK(pair.down_saw.bytes.empty());
}

TEST_CASE(
    "tcp stream: a deferred first read delivers in the turn of the accept, but not from inside "
    "resume_reading") {
  Pair pair;
  uint32_t accepted_in = 0;
  uint32_t read_in = 0;
  pair.on_accept = [&] {
    accepted_in = pair.loop.impl().turn;
    pair.down->resume_reading();
    CHECK(pair.down_saw.bytes.empty());
  };
  pair.down_saw.when_bytes = [&] { read_in = pair.loop.impl().turn; };
  const int client = raw_client(pair.acceptor->local());
  REQUIRE(send(client, "GET", 3, 0) == 3);
  REQUIRE(pair.until([&] { return pair.down_saw.bytes == "GET"; }));
  CHECK(read_in == accepted_in);
  REQUIRE(send(client, "more", 4, 0) == 4);
  close(client);
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
  CHECK(pair.down_saw.bytes == "GETmore");
}

TEST_CASE("tcp stream: destroying sends FIN, a marked stream sends RST") {
  for (const bool reset : {false, true}) {
    CAPTURE(reset);
    Pair pair;
    pair.connect();
    pair.down->resume_reading();
    pair.settle();
    if (reset) pair.up->mark_for_reset();
    pair.up.reset();
    REQUIRE(pair.until([&] { return pair.down_saw.eof || pair.down_saw.closed == 1; }));
    CHECK(pair.down_saw.eof == !reset);
    if (reset) CHECK(pair.down_saw.code == Code::reset);
  }
}

TEST_CASE("tcp stream: a reset is told even while reading is paused") {
  Pair pair;
  pair.connect();
  pair.down->resume_reading();
  pair.settle();
  pair.down->pause_reading();
  pair.up->mark_for_reset();
  pair.up.reset();
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(pair.down_saw.code == Code::reset);
}

TEST_CASE("tcp stream: a write fault comes in a later turn, once, and later writes are nothing") {
  ignore_sigpipe();
  Pair pair;
  pair.connect();
  pair.up->mark_for_reset();
  pair.up.reset();
  bool inside = false;
  pair.down_saw.when_closed = [&] { CHECK(!inside); };
  while (pair.down_saw.closed == 0) {
    inside = true;
    pair.down->write(pattern(1000));
    inside = false;
    pair.settle();
  }
  CHECK(pair.down_saw.code == Code::reset);
  CHECK(pair.down->queued_bytes() == 0);
  pair.down->write("x");
  pair.down->shutdown_write();
  pair.down->pause_reading();
  pair.down->resume_reading();
  CHECK(!pair.down->idle_and_open());
  pair.settle();
  CHECK(pair.down_saw.closed == 1);
}

TEST_CASE(
    "tcp stream: an answer that came before the peer reset is read before the fault is told") {
  ignore_sigpipe();
  Pair pair;
  pair.connect();
  pair.up->resume_reading();
  pair.up->write("a body that nobody will read");
  pair.settle();
  const std::string answer = "HTTP/1.1 413 Too Large\r\n\r\n";
  // In one go, so that `up` meets the fault while it writes, before it was told to read: closing
  // with unread bytes sends RST.
  pair.down->write(answer);
  pair.down.reset();
  pair.up->write("more of it");
  CHECK(pair.up_saw.bytes.empty());
  CHECK(pair.up_saw.closed == 0);
  REQUIRE(pair.until([&] { return pair.up_saw.closed == 1; }));
  CHECK(pair.up_saw.bytes == answer);
  CHECK(pair.up_saw.code == Code::reset);
}

TEST_CASE("tcp stream: writing after shutdown_write is a fault of its own") {
  Pair pair;
  pair.connect();
  pair.up->shutdown_write();
  pair.up->write("late");
  CHECK(pair.up_saw.closed == 0);
  REQUIRE(pair.until([&] { return pair.up_saw.closed == 1; }));
  CHECK(pair.up_saw.code == Code::closed);
}

TEST_CASE("tcp stream: one fast peer gets a bounded share of a turn") {
  Pair pair;
  pair.connect();
  uint32_t turn = 0;
  size_t in_turn = 0;
  size_t most = 0;
  size_t seen = 0;
  pair.down_saw.when_bytes = [&] {
    if (pair.loop.impl().turn != turn) in_turn = 0;
    turn = pair.loop.impl().turn;
    in_turn += pair.down_saw.bytes.size() - seen;
    seen = pair.down_saw.bytes.size();
    most = std::max(most, in_turn);
  };
  const std::string sent = pattern(16 * 1024 * 1024);
  pair.up->write(sent);
  pair.settle();
  pair.down->resume_reading();
  REQUIRE(pair.until([&] { return pair.down_saw.bytes.size() == sent.size(); }));
  CHECK(pair.down_saw.bytes == sent);
  CHECK(most < TcpStream::kBytesPerTurn + Loop::kSlabBytes);
  CHECK(most > 0);
}

TEST_CASE("tcp stream: reads grow with a large body, and a pause takes that back") {
  Pair pair;
  pair.connect();
  std::vector<size_t> pieces;
  size_t seen = 0;
  pair.down_saw.when_bytes = [&] {
    pieces.push_back(pair.down_saw.bytes.size() - seen);
    seen = pair.down_saw.bytes.size();
  };
  const std::string sent = pattern(16 * 1024 * 1024);
  pair.up->write(sent);
  pair.settle();
  pair.down->resume_reading();
  REQUIRE(pair.until([&] { return pieces.size() >= 4; }));
  CHECK(pieces.front() == TcpStream::kLeastRead);
  CHECK(*std::max_element(pieces.begin(), pieces.end()) > TcpStream::kLeastRead);
  pieces.clear();
  pair.down->pause_reading();
  pair.down->resume_reading();
  REQUIRE(pair.until([&] { return !pieces.empty(); }));
  CHECK(pieces.front() <= TcpStream::kLeastRead);
  REQUIRE(pair.until([&] { return seen == sent.size(); }));
  CHECK(pair.down_saw.bytes == sent);
}

TEST_CASE("tcp stream: an idle connection is open; with bytes or an end it is not") {
  Pair pair;
  pair.connect();
  CHECK(pair.up->idle_and_open());
  pair.down->write("unexpected");
  while (pair.up->idle_and_open()) pair.settle();
  CHECK(pair.up_saw.bytes.empty());

  Pair other;
  other.connect();
  CHECK(other.up->idle_and_open());
  other.down.reset();
  while (other.up->idle_and_open()) other.settle();
  CHECK(other.up_saw.closed == 0);
}

TEST_CASE("tcp stream: a FIN that acknowledges nothing came from a peer that saw nothing") {
  Pair late;
  late.connect();
  const uint64_t before = late.up->bytes_written();
  late.down.reset();
  while (late.up->idle_and_open()) late.settle();  // its FIN is here, and not read yet
  late.up->write("too late");
  late.up->resume_reading();
  // The reset that answers the write may overtake the end; a reset alone would be Code::reset.
  REQUIRE(late.until([&] { return late.up_saw.eof || late.up_saw.closed == 1; }));
  CHECK(late.up_saw.code != Code::reset);
  CHECK(late.up->bytes_acknowledged() == before);

  Pair read;
  read.connect();
  read.up->resume_reading();
  read.down->resume_reading();
  read.up->write("read, and then it ends");
  REQUIRE(read.until([&] { return !read.down_saw.bytes.empty(); }));
  read.down.reset();
  REQUIRE(read.until([&] { return read.up_saw.eof; }));
  CHECK(read.up->bytes_acknowledged() == read.up->bytes_written());
}

TEST_CASE("tcp stream: it may be destroyed in every one of its callbacks") {
  ignore_sigpipe();
  for (const int where : {0, 1, 2, 3}) {
    CAPTURE(where);
    Pair pair;
    pair.connect();
    bool done = false;
    const auto destroy = [&] {
      pair.down.reset();
      done = true;
    };
    if (where == 0) pair.down_saw.when_bytes = destroy;
    if (where == 1) pair.down_saw.when_eof = destroy;
    if (where == 2) pair.down_saw.when_writable = destroy;
    if (where == 3) pair.down_saw.when_closed = destroy;
    pair.down->resume_reading();
    if (where == 2) {
      pair.up->resume_reading();
      pair.down->write(pattern(16'000'000));
    } else if (where == 3) {
      pair.up->mark_for_reset();
      pair.up.reset();
    } else {
      pair.up->write("x");
      pair.up->shutdown_write();
    }
    REQUIRE(pair.until([&] { return done; }));
    pair.settle();
  }
}

TEST_CASE("tcp stream: destroyed with unsent bytes, its chunks go back") {
  Pair pair;
  pair.connect();
  pair.up->write(pattern(4'000'000));
  pair.down->write(pattern(4'000'000));
  pair.up.reset();
  pair.settle();
}

TEST_CASE("tcp stream: requests and responses over an open connection allocate nothing") {
  Pair pair;
  pair.connect();
  pair.down_saw.bytes.reserve(1 << 20);
  pair.up_saw.bytes.reserve(1 << 20);
  static const std::string request = pattern(300);
  static const std::string response = pattern(1000);
  pair.down_saw.when_bytes = [&] {
    const std::array<std::string_view, 3> slices{std::string_view(response).substr(0, 100), "",
                                                 std::string_view(response).substr(100)};
    pair.down->write(slices);
  };
  size_t exchanges = 0;
  size_t before = 0;
  pair.up_saw.when_bytes = [&] {
    if (pair.up_saw.bytes.size() % response.size() != 0) return;
    ++exchanges;
    if (exchanges == 10) before = allocations.load();
    if (exchanges < 500) pair.up->write(request);
  };
  pair.up->resume_reading();
  pair.down->resume_reading();
  pair.up->write(request);
  // run_until's own timer and predicate exist before the counting starts.
  REQUIRE(pair.until([&] { return exchanges == 500; }));
  CHECK(allocations.load() == before);
}

TEST_CASE("tcp stream: random writes, pauses and ends lose and repeat nothing") {
  ignore_sigpipe();
  for (uint32_t seed = 1; seed <= 15; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](size_t bound) {
      return std::uniform_int_distribution<size_t>(0, bound - 1)(random);
    };
    Pair pair;
    pair.connect();
    std::array<Stream*, 2> ends{pair.up.get(), pair.down.get()};
    std::array<std::string, 2> sent;
    std::array<int, 2> pauses{1, 1};
    for (int step = 0; step < 200; ++step) {
      const size_t end = pick(2);
      switch (pick(4)) {
        case 0: {
          const std::string part = pattern(pick(10) == 0 ? pick(600'000) : pick(2'000));
          std::vector<std::string_view> slices;
          for (size_t at = 0; at < part.size();) {
            const size_t length = std::min(part.size() - at, 1 + pick(part.size()));
            slices.push_back(std::string_view(part).substr(at, length));
            at += length;
          }
          ends[end]->write(slices);
          sent[end] += part;
          break;
        }
        case 1:
          ends[end]->pause_reading();
          ++pauses[end];
          break;
        case 2:
          if (pauses[end] == 0) break;
          ends[end]->resume_reading();
          --pauses[end];
          break;
        default:
          pair.settle();
      }
    }
    for (const size_t end : {size_t{0}, size_t{1}}) {
      for (; pauses[end] > 0; --pauses[end]) ends[end]->resume_reading();
      ends[end]->shutdown_write();
    }
    REQUIRE(pair.until([&] { return pair.up_saw.closed == 1 && pair.down_saw.closed == 1; }));
    CHECK(pair.down_saw.bytes == sent[0]);
    CHECK(pair.up_saw.bytes == sent[1]);
    CHECK(pair.up->bytes_written() == sent[0].size());
    CHECK(pair.up->bytes_read() == sent[1].size());
    CHECK(pair.up_saw.code == Code::closed);
  }
}

}  // namespace hms::net
