#include "net/io/tls_stream.h"

#include <doctest/doctest.h>

#include <array>
#include <ctime>
#include <string>

#include "net/io/timer_wheel.h"
#include "tests/unit/net/io/tls_pair.h"

namespace hms::net {
namespace {

std::string pattern(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 1000) % 26);
  return text;
}

TEST_CASE("tls_stream: bytes go both ways, and a clean end is an end") {
  TlsPair pair;
  pair.connect();
  REQUIRE(pair.failure.empty());
  pair.resume();
  const std::array<std::string_view, 3> slices = {"one ", "two ", "three"};
  pair.up->write(slices);
  pair.down->write("answer");
  CHECK(pair.until(
      [&] { return pair.down_saw.bytes == "one two three" && pair.up_saw.bytes == "answer"; }));
  CHECK(pair.down->protocol() == "TLSv1.3");
  CHECK(pair.up->tls() != nullptr);
  CHECK(pair.up->bytes_read() == 6);

  pair.up->shutdown_write();
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
  CHECK(pair.down_saw.closed == 0);
  pair.down->write("after the half-close");
  REQUIRE(pair.until([&] { return contains(pair.up_saw.bytes, "half-close"); }));
  pair.down->shutdown_write();
  CHECK(pair.until(
      [&] { return pair.up_saw.eof && pair.up_saw.closed + pair.down_saw.closed == 2; }));
}

TEST_CASE("tls_stream: a body of many records arrives whole, in slices of every size") {
  TlsPair pair;
  pair.connect();
  pair.resume();
  const std::string body = pattern(3'000'000);
  size_t at = 0;
  size_t size = 1;
  while (at < body.size()) {
    const std::string_view rest = std::string_view(body).substr(at);
    const size_t third = std::min(rest.size(), size) / 3;
    const std::array<std::string_view, 3> slices = {
        rest.substr(0, third), rest.substr(third, third), rest.substr(2 * third, size - 2 * third)};
    size_t sent = 0;
    for (const auto slice : slices) sent += slice.size();
    pair.up->write(slices);
    at += sent;
    size = size * 2 + 1;
  }
  CHECK(pair.until([&] { return pair.down_saw.bytes.size() == body.size(); }));
  CHECK(pair.down_saw.bytes == body);
  CHECK(pair.until([&] { return pair.up->queued_bytes() == 0; }));
}

TEST_CASE("tls_stream: a reader that pauses holds the writer back and loses nothing") {
  TlsPair pair;
  pair.connect();
  pair.up->resume_reading();
  pair.down_saw.when_bytes = [&] { pair.down->pause_reading(); };
  pair.down->resume_reading();
  const std::string body = pattern(20'000'000);
  size_t sent = 0;
  const auto pump = [&] {
    while (sent < body.size() && !pair.up->above_high_watermark()) {
      const std::string_view piece = std::string_view(body).substr(sent, 50'000);
      pair.up->write(piece);
      sent += piece.size();
    }
  };
  pair.up_saw.when_writable = pump;
  pump();
  REQUIRE(pair.until([&] { return !pair.down_saw.bytes.empty(); }));
  CHECK(sent < body.size());
  CHECK(pair.until([&] {
    // One delivery at a time: each of them pauses.
    static size_t seen = 0;
    if (pair.down_saw.bytes.size() != seen) {
      seen = pair.down_saw.bytes.size();
      pair.down->resume_reading();
    }
    return seen == body.size();
  }));
  CHECK(pair.down_saw.bytes == body);
  CHECK(pair.up_saw.writable > 0);
}

TEST_CASE("tls_stream: what is written before the handshake is over arrives, and so does the end") {
  TlsPair pair;
  pair.make_contexts();
  const std::string early = pattern(300'000);
  pair.connector = Connector::connect(
      pair.loop, pair.acceptor->local(), kLong, [&](Result<std::unique_ptr<Stream>> result) {
        REQUIRE(result.ok());
        pair.up =
            wrap_tls_client(pair.loop, std::move(result).value(), pair.client_context, "localhost");
        pair.up->set_handler(&pair.up_saw);
        pair.up->resume_reading();
        pair.up->write(early);
        CHECK(pair.up->queued_bytes() >= early.size());
        CHECK(pair.up->above_high_watermark());
        pair.up->shutdown_write();
      });
  REQUIRE(pair.until([&] { return pair.down != nullptr; }));
  pair.down->resume_reading();
  CHECK(pair.until([&] { return pair.down_saw.eof; }));
  CHECK(pair.down_saw.bytes == early);
  CHECK(pair.up_saw.writable > 0);
}

TEST_CASE("tls_stream: an end without close_notify is a truncation, never an end") {
  TlsPair pair;
  pair.connect();
  pair.resume();
  pair.up->write("half of a mess");
  REQUIRE(pair.until([&] { return !pair.down_saw.bytes.empty(); }));
  pair.up.reset();
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK_FALSE(pair.down_saw.eof);
  CHECK(pair.down_saw.code == Code::closed);
  CHECK(contains(pair.down_saw.why, "truncated"));
}

TEST_CASE("tls_stream: a reset is told even while reading is paused") {
  TlsPair pair;
  pair.connect();
  pair.up->mark_for_reset();
  pair.up.reset();
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(pair.down_saw.code == Code::reset);
}

TEST_CASE("tls_stream: a handler may destroy the stream from inside any callback") {
  SUBCASE("bytes") {
    TlsPair pair;
    pair.connect();
    pair.resume();
    pair.down_saw.when_bytes = [&] { pair.down.reset(); };
    pair.up->write(pattern(200'000));
    CHECK(pair.until([&] { return pair.down == nullptr; }));
  }
  SUBCASE("eof") {
    TlsPair pair;
    pair.connect();
    pair.resume();
    pair.down_saw.when_eof = [&] { pair.down.reset(); };
    pair.up->shutdown_write();
    CHECK(pair.until([&] { return pair.down == nullptr; }));
  }
  SUBCASE("closed") {
    TlsPair pair;
    pair.connect();
    pair.resume();
    pair.down_saw.when_closed = [&] { pair.down.reset(); };
    pair.up.reset();
    CHECK(pair.until([&] { return pair.down == nullptr; }));
  }
}

TEST_CASE("tls_stream: a write after the end is a fault that is told later") {
  TlsPair pair;
  pair.connect();
  pair.resume();
  pair.up->shutdown_write();
  pair.up->write("too late");
  CHECK(pair.up_saw.closed == 0);
  CHECK(pair.until([&] { return pair.up_saw.closed == 1; }));
  CHECK(pair.up_saw.code == Code::closed);
}

// === whom we believe

TEST_CASE("tls_stream: a certificate of an unknown authority is refused, with its name") {
  TlsPair pair;
  const test::Authority other(pair.folder.path(), "second");
  pair.client.ca_file = other.file();
  pair.connect();
  CHECK(pair.code == Code::tls);
  CHECK(contains(pair.failure, "unknown authority"));
  CHECK(contains(pair.failure, "CN=first"));
  CHECK(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(contains(pair.down_saw.why, "does not know the authority"));
}

TEST_CASE("tls_stream: an expired certificate is refused, with its date") {
  TlsPair pair;
  pair.leaf = pair.authority.issue("leaf", {.begins_seconds = -7'200, .ends_seconds = -3'600});
  pair.connect();
  CHECK(contains(pair.failure, "expired at 20"));
}

TEST_CASE("tls_stream: a certificate of the future is refused") {
  TlsPair pair;
  pair.leaf = pair.authority.issue("leaf", {.begins_seconds = 3'600});
  pair.connect();
  CHECK(contains(pair.failure, "not valid before"));
}

TEST_CASE("tls_stream: a certificate for another name is refused, and both names are told") {
  TlsPair pair;
  pair.connect("shop.example");
  CHECK(contains(pair.failure, "the certificate is for localhost, 127.0.0.1"));
  CHECK(contains(pair.failure, "expected shop.example"));
}

TEST_CASE("tls_stream: an address is verified as an address") {
  TlsPair pair;
  pair.connect("127.0.0.1");
  CHECK(pair.failure.empty());
  pair.connect("127.0.0.2");
  CHECK(contains(pair.failure, "expected 127.0.0.2"));
}

TEST_CASE("tls_stream: mutual TLS tells who calls, and refuses who shows nothing or a stranger") {
  TlsPair pair;
  const auto caller = pair.authority.issue(
      "caller", {.names = "URI:spiffe://mesh/ns/shop/sa/cart", .common_name = "cart"});
  pair.server.verify = TlsVerify::required;
  pair.server.ca_file = pair.authority.file();
  pair.server.peer_names = {"spiffe://mesh/ns/shop/*"};

  SUBCASE("a caller with a good identity") {
    pair.client.certificate_file = caller.certificate_file;
    pair.client.key_file = caller.key_file;
    pair.connect();
    REQUIRE(pair.failure.empty());
    const TlsPeer peer = pair.down->peer_identity();
    CHECK(peer.name == "spiffe://mesh/ns/shop/sa/cart");
    CHECK(peer.subject == "CN=cart");
    CHECK(peer.verified);
    CHECK(pair.up->tls()->peer_identity().name == "localhost");
  }
  SUBCASE("a caller of another name") {
    const auto stranger =
        pair.authority.issue("stranger", {.names = "URI:spiffe://mesh/ns/shopping/sa/x"});
    pair.client.certificate_file = stranger.certificate_file;
    pair.client.key_file = stranger.key_file;
    pair.connect();
    REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
    CHECK(contains(pair.down_saw.why, "spiffe://mesh/ns/shopping/sa/x, expected spiffe://"));
  }
  SUBCASE("a caller of another authority") {
    test::Authority other(pair.folder.path(), "second");
    const auto stranger = other.issue("stranger", {.names = "URI:spiffe://mesh/ns/shop/sa/cart"});
    pair.client.certificate_file = stranger.certificate_file;
    pair.client.key_file = stranger.key_file;
    pair.connect();
    REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
    CHECK(contains(pair.down_saw.why, "unknown authority"));
  }
  SUBCASE("a caller without a certificate") {
    pair.connect();
    REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
    CHECK(contains(pair.down_saw.why, "showed no certificate"));
    if (pair.up != nullptr) {
      pair.up->resume_reading();
      REQUIRE(pair.until([&] { return pair.up_saw.closed == 1; }));
      CHECK(contains(pair.up_saw.why, "demands a certificate"));
    }
  }
  SUBCASE("a caller without a certificate where it is optional") {
    pair.server.verify = TlsVerify::optional;
    pair.connect();
    REQUIRE(pair.failure.empty());
    CHECK(pair.down->established());
    CHECK_FALSE(pair.down->peer_identity().verified);
    CHECK(pair.down->peer_identity().name.empty());
  }
}

TEST_CASE("tls_stream: ALPN agrees on a common protocol, or the handshake fails") {
  TlsPair pair;
  pair.server.alpn = {"http/1.1"};
  SUBCASE("common") {
    pair.client.alpn = {"h2", "http/1.1"};
    pair.connect();
    REQUIRE(pair.failure.empty());
    CHECK(pair.down->alpn() == "http/1.1");
    CHECK(pair.up->tls()->alpn() == "http/1.1");
  }
  SUBCASE("nothing in common") {
    pair.client.alpn = {"h2"};
    pair.connect();
    CHECK(contains(pair.failure, "ALPN"));
  }
  SUBCASE("not offered") {
    pair.connect();
    CHECK(pair.failure.empty());
    CHECK(pair.down->alpn().empty());
  }
}

TEST_CASE("tls_stream: a DNS name that is written like a URI is no identity") {
  TlsPair pair;
  pair.require_caller("DNS:spiffe://mesh/admin");
  pair.connect();
  REQUIRE(pair.failure.empty());
  CHECK(pair.down->peer_identity().verified);
  CHECK(pair.down->peer_identity().name.empty());
}

TEST_CASE("tls_stream: the second connection resumes the session, also with mutual TLS") {
  TlsPair pair;
  pair.require_caller("URI:spiffe://mesh/cart");
  pair.connect();
  REQUIRE(pair.failure.empty());
  CHECK_FALSE(pair.down->resumed());
  pair.resume();
  pair.down->write("the ticket comes with the first reply");
  REQUIRE(pair.until([&] { return !pair.up_saw.bytes.empty(); }));
  pair.connect();
  REQUIRE(pair.failure.empty());
  CHECK(pair.down->resumed());
  CHECK(pair.up->tls()->resumed());
  CHECK(pair.down->peer_identity().name == "spiffe://mesh/cart");
  CHECK(pair.down->peer_identity().verified);
}

TEST_CASE("tls_stream: a session does not outlive the certificate that opened it") {
  TlsPair pair;
  const auto caller = pair.authority.issue("caller", {.ends_seconds = 3});
  pair.server.verify = TlsVerify::required;
  pair.server.ca_file = pair.authority.file();
  pair.client.certificate_file = caller.certificate_file;
  pair.client.key_file = caller.key_file;
  pair.connect();
  REQUIRE(pair.failure.empty());
  pair.resume();
  pair.down->write("the ticket comes with the first reply");
  REQUIRE(pair.until([&] { return !pair.up_saw.bytes.empty(); }));
  const auto expired = [end = std::time(nullptr) + 4] { return std::time(nullptr) >= end; };
  Timer look(pair.loop, [&] { look.arm(Millis{50}); });
  look.arm(Millis{50});
  REQUIRE(pair.until(expired));
  look.disarm();
  pair.down_saw.closed = 0;
  pair.connect();
  CHECK(pair.until([&] { return pair.down_saw.closed == 1 || pair.down->resumed(); }));
  CHECK_FALSE(pair.down->resumed());
  CHECK(contains(pair.down_saw.why, "expired at 20"));
}

TEST_CASE("tls_stream: certificates are swapped live; open connections keep theirs") {
  TlsPair pair;
  auto source = TlsSource::open(pair.server);
  REQUIRE(source.ok());
  int reloads = 0;
  const auto watch = TlsWatch::watch(
      pair.loop, *source, [&](const Result<void>& outcome) { reloads += outcome.ok() ? 1 : 0; });
  pair.server_context = (*source)->get();
  pair.connect();
  const auto old_up = std::move(pair.up);
  const auto old_down = std::move(pair.down);
  old_up->resume_reading();
  old_down->resume_reading();

  pair.authority.issue("leaf", {.names = "DNS:localhost,DNS:renewed", .common_name = "renewed"});
  REQUIRE(pair.until([&] { return reloads > 0 && (*source)->get() != pair.server_context; }));
  pair.server_context = (*source)->get();
  pair.connect("renewed");
  CHECK(pair.failure.empty());
  CHECK(pair.up->tls()->peer_identity().subject == "CN=renewed");

  old_up->write("still here");
  CHECK(pair.until([&] { return contains(pair.down_saw.bytes, "still here"); }));
  CHECK(old_up->tls()->peer_identity().subject == "CN=test");
  old_up->set_handler(nullptr);
  old_down->set_handler(nullptr);
}

// === peers that are not what they should be

TEST_CASE("tls_stream: a broken record behind a good one spoils no other connection of the loop") {
  TlsPair pair;
  pair.connect();
  const auto other_up = std::move(pair.up);
  const auto other_down = std::move(pair.down);
  TlsRecorder other_up_saw, other_down_saw;
  other_up->set_handler(&other_up_saw);
  other_down->set_handler(&other_down_saw);
  other_up->resume_reading();
  other_down->resume_reading();

  Stream* raw = nullptr;
  pair.connector = Connector::connect(
      pair.loop, pair.acceptor->local(), kLong, [&](Result<std::unique_ptr<Stream>> result) {
        REQUIRE(result.ok());
        raw = result->get();
        pair.up =
            wrap_tls_client(pair.loop, std::move(result).value(), pair.client_context, "localhost");
        pair.up->set_handler(&pair.up_saw);
      });
  REQUIRE(pair.until([&] {
    return pair.down != nullptr && pair.down->established() && pair.up->tls()->established();
  }));
  pair.resume();
  pair.down_saw.when_bytes = [&] { other_down->write("passed on"); };
  pair.up->write("good");
  const std::string broken = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  raw->write(broken);
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(pair.down_saw.bytes == "good");
  CHECK(pair.down_saw.code == Code::tls);
  CHECK(pair.until([&] { return !other_up_saw.bytes.empty() || other_up_saw.closed > 0; }));
  CHECK(other_up_saw.bytes == "passed on");
  CHECK(other_up_saw.closed == 0);
  CHECK(pair.until([&] { return pair.up_saw.closed == 1; }));  // its own alert tells it
  other_up->set_handler(nullptr);
  other_down->set_handler(nullptr);
}

TEST_CASE("tls_stream: plain HTTP on a TLS port is answered in words") {
  TlsPair pair;
  pair.connect_plain();
  pair.up->write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1 && pair.up_saw.eof; }));
  CHECK(contains(pair.down_saw.why, "plain HTTP came to a TLS port"));
  CHECK(contains(pair.up_saw.bytes, "400 Bad Request"));
  CHECK(contains(pair.up_saw.bytes, "use an https:// URL"));
}

TEST_CASE("tls_stream: garbage instead of a ClientHello ends the handshake") {
  TlsPair pair;
  pair.connect_plain();
  pair.up->write(pattern(1'000));
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(pair.down_saw.code == Code::tls);
  CHECK(contains(pair.down_saw.why, "is not TLS"));
}

TEST_CASE("tls_stream: a caller that says nothing is given up after the handshake's time") {
  TlsPair pair;
  pair.handshake_timeout = Millis{30};
  pair.connect_plain();
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(pair.down_saw.code == Code::timeout);
  CHECK(contains(pair.down_saw.why, "no complete TLS handshake within 30 ms"));
}

TEST_CASE("tls_stream: a caller that leaves during the handshake is no truncation of data") {
  TlsPair pair;
  pair.connect_plain();
  pair.up->write(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  pair.up->shutdown_write();
  REQUIRE(pair.until([&] { return pair.down_saw.closed == 1; }));
  CHECK(contains(pair.down_saw.why, "during the TLS handshake"));
}

TEST_CASE("tls_stream: many connections at once, more than keep their buffers, all work") {
  TlsPair pair;
  pair.make_contexts();
  constexpr size_t kMany = 150;  // TlsScratch keeps the buffers of 128
  std::vector<std::unique_ptr<TlsStream>> downs;
  std::vector<std::unique_ptr<Stream>> ups;
  std::vector<std::unique_ptr<Connector>> connectors;
  std::vector<Recorder> seen(kMany);
  auto many = Acceptor::listen(
      pair.loop, SocketAddress::parse("127.0.0.1:0").value(), {},
      [&](std::unique_ptr<Stream> stream) {
        downs.push_back(wrap_tls_server(pair.loop, std::move(stream), pair.server_context));
        TlsStream* const down = downs.back().get();
        down->on_established([down] { down->write("hello"); });
      });
  REQUIRE(many.ok());
  for (size_t i = 0; i < kMany; ++i) {
    connectors.push_back(connect_tls(pair.loop, (*many)->local(), kLong, pair.client_context,
                                     "localhost", [&](Result<std::unique_ptr<Stream>> result) {
                                       REQUIRE(result.ok());
                                       ups.push_back(std::move(result).value());
                                       ups.back()->set_handler(&seen[ups.size() - 1]);
                                       ups.back()->resume_reading();
                                     }));
  }
  CHECK(pair.until([&] {
    size_t done = 0;
    for (const Recorder& one : seen) done += one.bytes == "hello" ? 1 : 0;
    return done == kMany;
  }));
  for (const auto& down : downs) down->write(pattern(40'000));
  CHECK(pair.until([&] {
    size_t done = 0;
    for (const Recorder& one : seen) done += one.bytes.size() == 40'005 ? 1 : 0;
    return done == kMany;
  }));
}

}  // namespace
}  // namespace hms::net
