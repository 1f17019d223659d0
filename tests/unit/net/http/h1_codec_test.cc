#include "net/http/h1_codec.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

#include "net/http/characters.h"
#include "net/http/head_guard.h"
#include "tests/support/http_transcript.h"
#include "tests/unit/net/http/attack_vectors.h"

using namespace hms::net;  // NOLINT: a test

namespace {

constexpr auto kRequest = H1Codec::Kind::request;
constexpr auto kResponse = H1Codec::Kind::response;

int fault_of(const std::string& transcript) {
  const size_t at = transcript.find("failed ");
  return at == std::string::npos ? 0 : std::stoi(transcript.substr(at + 7));
}

void check_vectors(H1Codec::Kind kind, const std::vector<Vector>& vectors) {
  for (const Vector& vector : vectors) {
    CAPTURE(vector.name);
    const std::string whole = transcript_whole(kind, vector.bytes);
    CAPTURE(whole);
    if (vector.status < 0) {
      CHECK(fault_of(whole) != 0);
    } else {
      CHECK(fault_of(whole) == vector.status);
    }
    CHECK(transcript_cut(kind, vector.bytes, 1) == whole);
    CHECK(transcript_cut(kind, vector.bytes, 2) == whole);
    CHECK(transcript_cut(kind, vector.bytes, 7) == whole);
  }
}

}  // namespace

TEST_CASE("h1_codec: every attack on requests is refused, whole and byte by byte alike") {
  check_vectors(kRequest, request_vectors());
}

TEST_CASE("h1_codec: every broken reply is refused, whole and byte by byte alike") {
  check_vectors(kResponse, response_vectors());
}

TEST_CASE("h1_codec: two cuts at any places change nothing") {
  const std::string bytes = post("Content-Length: 3\r\nX: y\r\n", "abc") +
                            chunked("3;q=\"r\"\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n") +
                            get("");
  const std::string whole = transcript_whole(kRequest, bytes);
  CHECK(fault_of(whole) == 0);
  for (size_t first = 0; first < bytes.size(); first += 3) {
    for (size_t second = first; second <= bytes.size(); second += 5) {
      HttpTranscript transcript(kRequest, HttpLimits());
      transcript.feed(std::string_view(bytes).substr(0, first));
      transcript.feed(std::string_view(bytes).substr(first, second - first));
      transcript.feed(std::string_view(bytes).substr(second));
      REQUIRE(transcript.finish() == whole);
    }
  }
}

TEST_CASE("h1_codec: a head is given with its parts, its fields in order, and what follows it") {
  const std::string text = transcript_whole(kRequest,
                                            "POST /a?b=c HTTP/1.1\r\nHost: shop:8080\r\nX-One:  1 "
                                            "\r\nx-one: 2\r\nExpect: 100-continue\r\n"
                                            "Content-Length: 5\r\n\r\nhello");
  CHECK(text ==
        "request POST /a?b=c 1.1 body=length/5 keep continue\n"
        "  Host=shop:8080\n  X-One=1\n  x-one=2\n  Expect=100-continue\n  Content-Length=5\n"
        "body[hello]\nend\n");
}

TEST_CASE("h1_codec: the fields' bytes and the start line join up to the raw head") {
  int heads = 0;
  for (const Vector& vector : request_vectors()) {
    HttpTranscript transcript(kRequest, HttpLimits());
    transcript.on_head = [&](const MessageHead& head) {
      ++heads;
      std::string joined(head.raw.substr(0, head.start_line_end));
      for (uint16_t i = 0; i < head.field_count; ++i) {
        const HeaderField& f = head.fields[i];
        joined += head.raw.substr(f.begin, f.end - f.begin);
        const std::string_view line = head.raw.substr(f.begin, f.end - f.begin);
        CHECK(line.substr(0, f.name_length) == head.name(f));
        CHECK(line.find(head.value(f)) != std::string_view::npos);
      }
      joined += "\r\n";
      CHECK(joined == head.raw);
      CHECK_FALSE(guard_head(head).has_value());
    };
    transcript.feed(vector.bytes);
  }
  CHECK(heads > 20);
}

TEST_CASE("h1_codec: a head within one read is a view of that read, a cut one is not") {
  const std::string bytes = get("X: y\r\n");
  H1Codec codec(kRequest, HttpLimits());
  std::string_view input = bytes;
  REQUIRE(codec.next(input) == H1Codec::Step::head);
  CHECK(codec.head().raw.data() == bytes.data());
  codec.keep_head();
  CHECK(codec.head().raw.data() != bytes.data());
  CHECK(codec.head().raw == bytes);
  CHECK(codec.head().method == "GET");
  CHECK(codec.head().target == "/");
  CHECK(codec.head().get("x") == "y");
  CHECK(codec.next(input) == H1Codec::Step::end);
  CHECK_FALSE(codec.at_message_start());
  codec.next_message();
  CHECK(codec.at_message_start());

  input = std::string_view(bytes).substr(0, 9);
  CHECK(codec.next(input) == H1Codec::Step::need_more);
  CHECK(input.empty());
  CHECK_FALSE(codec.at_message_start());
  input = std::string_view(bytes).substr(9);
  REQUIRE(codec.next(input) == H1Codec::Step::head);
  CHECK(codec.head().raw == bytes);
  CHECK((codec.head().raw.data() < bytes.data() ||
         codec.head().raw.data() > bytes.data() + bytes.size()));
}

TEST_CASE("h1_codec: after `end` the next request stays in the caller's hands") {
  const std::string bytes = get("") + get("X: second\r\n");
  H1Codec codec(kRequest, HttpLimits());
  std::string_view input = bytes;
  CHECK(codec.next(input) == H1Codec::Step::head);
  CHECK(codec.next(input) == H1Codec::Step::end);
  CHECK(codec.next(input) == H1Codec::Step::need_more);
  CHECK(input.size() == get("X: second\r\n").size());
  codec.next_message();
  CHECK(codec.next(input) == H1Codec::Step::head);
  CHECK(codec.head().get("x") == "second");
}

TEST_CASE("h1_codec: limits have their own status, at the exact byte") {
  HttpLimits limits;
  limits.start_line_bytes = 64;
  limits.head_bytes = 256;
  limits.fields = 4;
  limits.trailer_bytes = 32;
  limits.chunk_extension_bytes = 8;
  const auto line = [](size_t bytes) {  // a request line of so many bytes, with its CRLF
    return "GET /" + std::string(bytes - 16, 'x') + " HTTP/1.1\r\n";
  };
  const auto both = [&](const std::string& bytes) {
    const std::string whole = transcript_whole(kRequest, bytes, limits);
    CHECK(transcript_cut(kRequest, bytes, 1, limits) == whole);
    CHECK(transcript_cut(kRequest, bytes, 13, limits) == whole);
    return fault_of(whole);
  };
  CHECK(both(line(64) + "Host: a\r\n\r\n") == 0);
  CHECK(both(line(65) + "Host: a\r\n\r\n") == 414);
  CHECK(both("GET /" + std::string(100'000, 'x')) == 414);
  CHECK(both(std::string(100'000, 'G')) == 414);

  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  const auto padded = [&](size_t total) {
    return start + "X: " + std::string(total - start.size() - 7, 'y') + "\r\n\r\n";
  };
  CHECK(padded(256).size() == 256);
  CHECK(both(padded(256)) == 0);
  CHECK(both(padded(257)) == 431);
  CHECK(both(start + "X: " + std::string(100'000, 'y')) == 431);
  CHECK(both(start + "a: b\r\na: b\r\na: b\r\n\r\n") == 0);
  CHECK(both(start + "a: b\r\na: b\r\na: b\r\na: b\r\n\r\n") == 431);

  CHECK(both(chunked("1;12345678\r\na\r\n0\r\n\r\n")) == 400);  // the semicolon counts
  CHECK(both(chunked("1;1234567\r\na\r\n0\r\n\r\n")) == 0);
  CHECK(both(chunked("1;123\r\na\r\n1;1234\r\na\r\n0\r\n\r\n")) == 400);
  CHECK(both(chunked("0\r\nX: " + std::string(25, 'y') + "\r\n\r\n")) == 0);
  CHECK(both(chunked("0\r\nX: " + std::string(26, 'y') + "\r\n\r\n")) == 431);
}

TEST_CASE("h1_codec: trailers are given without the names that frame, route or authenticate") {
  const std::string text = transcript_whole(
      kRequest,
      chunked("1\r\na\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nAuthorization: x\r\nX-Forwarded-For: y\r\n"
              "Set-Cookie: z\r\nServer-Timing: t\r\n\r\n"));
  CHECK(text.find("trailers[X-Sum: 1\r\nServer-Timing: t\r\n]") != std::string::npos);
  const std::string only_bad = transcript_whole(kRequest, chunked("0\r\nCookie: a\r\n\r\n"));
  CHECK(only_bad.find("trailers") == std::string::npos);
  CHECK(only_bad.find("end") != std::string::npos);
}

TEST_CASE("h1_codec: a reply to HEAD has no body, whatever its fields say") {
  const std::string bytes = reply("Content-Length: 5\r\n") + reply("Content-Length: 0\r\n");
  const std::string text = transcript_whole(kResponse, bytes, {}, "HEAD");
  CHECK(text ==
        "response 200 OK 1.1 body=none/5 keep\n  Content-Length=5\nend\n"
        "response 200 OK 1.1 body=none/0 keep\n  Content-Length=0\nend\n");
  const std::string chunks = reply("Transfer-Encoding: chunked\r\n");
  CHECK(transcript_whole(kResponse, chunks, {}, "HEAD").find("end\n") != std::string::npos);
}

TEST_CASE("h1_codec: interim replies come one by one before the final one, also to HEAD") {
  const std::string bytes =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + reply("Content-Length: 7\r\n");
  CHECK(transcript_whole(kResponse, bytes, {}, "HEAD") ==
        "response 100 Continue 1.1 body=none/0 keep\nend\n"
        "response 103 Hints 1.1 body=none/0 keep\nend\n"
        "response 200 OK 1.1 body=none/7 keep\n  Content-Length=7\nend\n");
}

TEST_CASE("h1_codec: 101, and 2xx to CONNECT, end HTTP on the connection") {
  const std::string switching = "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nraw bytes";
  const std::string text = transcript_whole(kResponse, switching);
  CHECK(text.find("upgrade\ntunnel[raw bytes]") != std::string::npos);
  CHECK(transcript_cut(kResponse, switching, 1).find("upgrade\n") != std::string::npos);
  const std::string tunnel = reply("Content-Length: 3\r\n", "raw");
  CHECK(transcript_whole(kResponse, tunnel, {}, "CONNECT").find("upgrade\ntunnel[raw]") !=
        std::string::npos);
  const std::string refused = "HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nabc";
  CHECK(transcript_whole(kResponse, refused, {}, "CONNECT").find("body[abc]\nend") !=
        std::string::npos);
}

TEST_CASE("h1_codec: a close-delimited body ends with the connection, a cut one is a fault") {
  H1Codec codec(kResponse, HttpLimits());
  const std::string bytes = "HTTP/1.0 200 OK\r\n\r\nabc";
  std::string_view input = bytes;
  CHECK(codec.next(input) == H1Codec::Step::head);
  CHECK(codec.head().body == BodyKind::until_close);
  CHECK_FALSE(codec.head().keep_alive);
  CHECK(codec.next(input) == H1Codec::Step::body);
  CHECK(codec.next(input) == H1Codec::Step::need_more);
  CHECK(codec.finish() == H1Codec::Step::end);

  H1Codec idle(kResponse, HttpLimits());
  CHECK(idle.finish() == H1Codec::Step::need_more);
  H1Codec cut(kRequest, HttpLimits());
  std::string_view some = "GET / HT";
  CHECK(cut.next(some) == H1Codec::Step::need_more);
  CHECK(cut.finish() == H1Codec::Step::failed);
  CHECK(cut.fault().status == 400);
}

TEST_CASE("h1_codec: keep-alive follows version and Connection") {
  const auto keeps = [](const std::string& bytes) {
    return transcript_whole(kRequest, bytes).find(" keep") != std::string::npos;
  };
  CHECK(keeps(get("")));
  CHECK(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
  CHECK_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  CHECK_FALSE(keeps(get("Connection: x, CLOSE\r\n")));
  CHECK_FALSE(keeps(get("Connection: x\r\nConnection: close\r\n")));
}

TEST_CASE("h1_codec: random bytes put into good messages never split whole from cut") {
  std::mt19937 random(20261122);
  const std::string alphabet("\r\n\t :;,0a5x\0\x7f\x80GHC", 17);
  const std::vector<Vector> vectors = request_vectors();
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = vectors[random() % vectors.size()].bytes;
    if (bytes.size() > 600) bytes.resize(600);
    for (size_t edits = random() % 3; edits-- > 0;) {
      const size_t at = random() % bytes.size();
      const char c = alphabet[random() % alphabet.size()];
      if (random() % 2 == 0) {
        bytes[at] = c;
      } else {
        bytes.insert(at, 1, c);
      }
    }
    CAPTURE(bytes);
    const std::string whole = transcript_whole(kRequest, bytes);
    REQUIRE(transcript_cut(kRequest, bytes, 1) == whole);
    REQUIRE(transcript_cut(kRequest, bytes, 1 + random() % 20) == whole);
  }
}

TEST_CASE("h1_codec: release_buffers only touches an idle codec") {
  H1Codec codec(kRequest, HttpLimits());
  const std::string bytes = get("");
  std::string_view input = std::string_view(bytes).substr(0, 10);
  CHECK(codec.next(input) == H1Codec::Step::need_more);
  codec.release_buffers();
  input = std::string_view(bytes).substr(10);
  CHECK(codec.next(input) == H1Codec::Step::head);
}

TEST_CASE(
    "h1_codec: no byte put anywhere into Transfer-Encoding makes two readings of one request") {
  // smuggler.py's idea, exhaustively: each byte value at each place of the line, with and without a
  // Content-Length beside it.
  const std::string line = "Transfer-Encoding: chunked\r\n";
  for (int c = 0; c < 256; ++c) {
    for (size_t place = 0; place <= line.size(); ++place) {
      for (const bool replace : {false, true}) {
        std::string mutated = line;
        if (replace && place < line.size()) {
          mutated[place] = static_cast<char>(c);
        } else {
          mutated.insert(place, 1, static_cast<char>(c));
        }
        CAPTURE(mutated);
        const std::string beside =
            transcript_whole(kRequest, post(mutated + "Content-Length: 5\r\n", "hello"));
        // Either refused, or the line was no Transfer-Encoding for anybody: then the length alone
        // counts.
        if (fault_of(beside) == 0) {
          REQUIRE(beside.find("body=length/5") != std::string::npos);
          REQUIRE(beside.find("  Transfer-Encoding=") == std::string::npos);
        }
        const std::string alone = transcript_whole(kRequest, post(mutated, "0\r\n\r\n"));
        if (fault_of(alone) == 0) {
          REQUIRE(alone.find("body=chunked") != std::string::npos);
          std::string small = alone;
          std::transform(small.begin(), small.end(), small.begin(), lower);
          REQUIRE(small.find("  transfer-encoding=chunked\n") != std::string::npos);
        }
      }
    }
  }
}
