#include "net/core/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace hms::net {
namespace {

/// Puts a file in memory in place of a descriptor, and back.
class Captured {
 public:
  explicit Captured(int descriptor)
      : descriptor_(descriptor), kept_(dup(descriptor)), file_(memfd_create("log", 0)) {
    dup2(file_, descriptor_);
  }
  ~Captured() { restore(); }
  std::string text() {
    restore();
    std::string content(static_cast<size_t>(lseek(file_, 0, SEEK_END)), '\0');
    CHECK(pread(file_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
    return content;
  }

 private:
  void restore() {
    if (kept_ < 0) return;
    CHECK(log_flush(Millis{10'000}));
    dup2(kept_, descriptor_);
    close(kept_);
    kept_ = -1;
  }
  int descriptor_;
  int kept_;
  int file_;
};

template <class Action>
std::string logged(Action action) {
  Captured captured(STDERR_FILENO);
  action();
  return captured.text();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return lines;
}

}  // namespace

TEST_CASE("log: a line is one JSON object with the fields in their own types") {
  const std::string text = logged([] {
    log_info("ready", {{"address", "127.0.0.1:80"},
                       {"count", 3},
                       {"big", std::numeric_limits<uint64_t>::max()},
                       {"small", std::numeric_limits<int64_t>::min()},
                       {"share", 0.25},
                       {"none", std::nan("")},
                       {"on", true}});
  });
  REQUIRE(text.back() == '\n');
  const auto line = nlohmann::json::parse(text);
  CHECK(line["level"] == "info");
  CHECK(line["msg"] == "ready");
  CHECK(line["address"] == "127.0.0.1:80");
  CHECK(line["count"] == 3);
  CHECK(line["big"] == std::numeric_limits<uint64_t>::max());
  CHECK(line["small"] == std::numeric_limits<int64_t>::min());
  CHECK(line["share"] == 0.25);
  CHECK(line["none"].is_null());
  CHECK(line["on"] == true);
  const auto ts = line["ts"].get<std::string>();
  CHECK(ts.size() == 24);
  CHECK(ts[10] == 'T');
  CHECK(ts.back() == 'Z');
}

TEST_CASE("log: every byte sequence gives valid JSON, and valid text comes back as it was") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string bad = "a\xc0\xaf\xed\xa0\x80\xf5\xff\xe2\x82z\xf4\x90\x80\x80";
  const std::string good = "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \"quoted\" back\\slash\ttab\x7f";
  const std::string text = logged([&] { log_warn(all, {{"bad", bad}, {"good", good}}); });
  CHECK(lines_of(text).size() == 1);
  const auto line = nlohmann::json::parse(text);
  CHECK(line["good"] == good);
  CHECK(line["bad"].get<std::string>().starts_with("a\xef\xbf\xbd"));
}

TEST_CASE("log: a long line is cut at 16 KiB, says so and stays valid") {
  constexpr size_t kLimit = 16 * 1024;
  for (const size_t length : {16'000UL, 16'200UL, 16'300UL, 16'383UL, 16'384UL, 100'000UL}) {
    for (const char filler : {'x', '\x01', '"', '\xff'}) {
      const std::string huge(length, filler);
      for (const bool text_format : {false, true}) {
        log_set_format(text_format ? LogFormat::text : LogFormat::json);
        const std::string in_message = logged([&] { log_info(huge, {{"k", "v"}}); });
        const std::string in_field = logged([&] { log_info("m", {{"k", huge}, {"n", 1}}); });
        log_set_format(LogFormat::json);
        CHECK(in_message.size() <= kLimit);
        CHECK(in_field.size() <= kLimit);
        if (text_format || length < kLimit) continue;
        CHECK(nlohmann::json::parse(in_message)["truncated"] == true);
        CHECK(nlohmann::json::parse(in_field)["truncated"] == true);
      }
    }
  }
}

TEST_CASE("log: many fields are cut between fields") {
  const std::string part(3000, 'p');
  const std::string text = logged([&] {
    log_info("m", {{"a", part}, {"b", part}, {"c", part}, {"d", part}, {"e", part}, {"f", part}});
  });
  const auto line = nlohmann::json::parse(text);
  CHECK(line["truncated"] == true);
  CHECK(line["a"] == part);
}

TEST_CASE("log: what is below the level is not written") {
  log_set_level(LogLevel::warn);
  const std::string text = logged([] {
    log_debug("no");
    log_info("no");
    log_warn("yes");
    log_error("yes");
  });
  log_set_level(LogLevel::info);
  CHECK(lines_of(text).size() == 2);
}

TEST_CASE("log: the text format cannot be made to look like two lines") {
  log_set_format(LogFormat::text);
  const std::string text = logged([] {
    log_error("bad\nERROR forged", {{"key", "v\r\n"}, {"n", 1}});
  });
  log_set_format(LogFormat::json);
  CHECK(lines_of(text).size() == 1);
  CHECK(text.find(R"(ERROR bad\nERROR forged key="v\r\n" n=1)") != std::string::npos);
}

TEST_CASE("log: lines of several threads stay whole") {
  const std::string text = logged([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        const std::string filler(500, static_cast<char>('a' + t));
        for (int i = 0; i < 200; ++i) log_info("line", {{"thread", t}, {"filler", filler}});
      });
    }
    for (auto& thread : threads) thread.join();
  });
  const auto lines = lines_of(text);
  CHECK(lines.size() == 800);
  for (const auto& line : lines) CHECK(nlohmann::json::accept(line));
}

TEST_CASE("log: a raw line goes to standard output as it is") {
  Captured captured(STDOUT_FILENO);
  log_raw_line(R"({"a":1})");
  const std::string text = captured.text();
  CHECK(text == "{\"a\":1}\n");
}

TEST_CASE("log: level and format names are read back, others are refused with the list") {
  CHECK(parse_log_level("debug").value() == LogLevel::debug);
  CHECK(parse_log_level("error").value() == LogLevel::error);
  CHECK(parse_log_format("text").value() == LogFormat::text);
  CHECK(to_string(parse_log_level("loud").error()).find("debug, info, warn, error") !=
        std::string::npos);
  CHECK(parse_log_format("xml").error().code == Code::bad_config);
}

}  // namespace hms::net
