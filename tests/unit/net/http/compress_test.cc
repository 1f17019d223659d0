#include "net/http/compress.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace hms::net;  // NOLINT: a test

namespace {
std::string noise(size_t size) {
  std::mt19937 random(7);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random() & 0xff);
  return text;
}
}  // namespace

TEST_CASE("compress: both codings give back what went in") {
  for (const std::string& text :
       {std::string(), std::string("hello"), std::string(1'000'000, 'a'), noise(300'000)}) {
    CHECK(gzip_decode(gzip_encode(text), 2'000'000).value() == text);
    CHECK(zstd_decode(zstd_encode(text), 2'000'000).value() == text);
  }
  CHECK(gzip_decode(gzip_encode("one") + gzip_encode("two"), 100).value() == "onetwo");
  CHECK(zstd_decode(zstd_encode("one") + zstd_encode("two"), 100).value() == "onetwo");
}

TEST_CASE("compress: a small body does not unfold into a large one") {
  const std::string large(50'000'000, '\0');
  const std::string gzip = gzip_encode(large);
  const std::string zstd = zstd_encode(large);
  CHECK(gzip.size() < 300'000);
  CHECK(zstd.size() < 10'000);
  CHECK(gzip_decode(gzip, 1'000'000).error().code == Code::too_large);
  CHECK(zstd_decode(zstd, 1'000'000).error().code == Code::too_large);
  CHECK(gzip_decode(gzip_encode(std::string(1000, 'a')), 1000).ok());
  CHECK(gzip_decode(gzip_encode(std::string(1001, 'a')), 1000).error().code == Code::too_large);
  CHECK(zstd_decode(zstd_encode(std::string(1001, 'a')), 1000).error().code == Code::too_large);
}

TEST_CASE("compress: cut and broken data is corrupt, at every length") {
  const std::string gzip = gzip_encode(noise(2000));
  const std::string zstd = zstd_encode(noise(2000));
  for (size_t length = 0; length < gzip.size(); length += 37) {
    CHECK(gzip_decode(gzip.substr(0, length), 10'000).error().code == Code::corrupt);
  }
  for (size_t length = 0; length < zstd.size(); length += 37) {
    CHECK(zstd_decode(zstd.substr(0, length), 10'000).error().code == Code::corrupt);
  }
  CHECK(gzip_decode("not gzip at all", 100).error().code == Code::corrupt);
  CHECK(zstd_decode("not zstd at all", 100).error().code == Code::corrupt);
  CHECK(gzip_decode(gzip_encode("x") + "rest", 100).error().code == Code::corrupt);
}

TEST_CASE("compress: a zstd frame made piece by piece, and the next one after it") {
  ZstdEncoder encoder;
  for (const std::string& text : {noise(100'000), std::string(500'000, 'b'), std::string()}) {
    for (size_t at = 0; at < text.size(); at += 7'777) {
      encoder.add(std::string_view(text).substr(at, 7'777));
    }
    const std::string frame = encoder.finish();
    CHECK(zstd_decode(frame, 1'000'000).value() == text);
    CHECK(zstd_decode(frame.substr(0, frame.size() - 1), 1'000'000).error().code == Code::corrupt);
  }
}
