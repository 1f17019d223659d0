#include "collector/live/hub.h"

#include <doctest/doctest.h>

#include <vector>

#include "collector/live/publisher.h"
#include "net/http/sse.h"
#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;

namespace {

/// A connection whose reader the test plays: takes what is written, or lets it queue.
class FakeReply final : public net::Reply {
 public:
  void send(int, std::string_view, std::string, net::Headers) override {}
  void start(int code, std::string_view type, net::Headers) override {
    status = code;
    content_type = type;
  }
  bool write(std::string_view piece) override {
    if (closed || queued + piece.size() > kMaxQueuedBytes) return false;
    text += piece;
    if (!reading) queued += piece.size();
    return true;
  }
  void finish() override { closed = true; }
  bool gone() const noexcept override { return closed; }
  bool accepts_gzip() const noexcept override { return false; }
  size_t queued_bytes() const noexcept override { return queued; }
  void on_gone(std::function<void()> callback) override { gone_callback = std::move(callback); }

  std::vector<net::SseParser::Event> events() {
    std::vector<net::SseParser::Event> found;
    net::SseParser parser([&](const net::SseParser::Event& event) { found.push_back(event); });
    parser.feed(text);
    return found;
  }

  int status = 0;
  std::string content_type, text;
  size_t queued = 0;
  bool reading = true, closed = false;
  std::function<void()> gone_callback;
};

struct Fixture {
  test::TestClock clock;
  net::Loop loop;
  LiveHub hub;
  explicit Fixture(HubOptions options = {}) : hub(loop, with_clock(std::move(options))) {}
  HubOptions with_clock(HubOptions options) {
    options.clock = [this] { return clock.nanos; };
    return options;
  }
  /// What is published goes out in the next turn.
  void turn() {
    bool turned = false;
    loop.post([&] { turned = true; });
    loop.run_until([&] { return turned; }, net::Millis(5000));
  }
  std::shared_ptr<FakeReply> subscribe(HubFilter filter = {}, std::string_view last = {}) {
    auto reply = std::make_shared<FakeReply>();
    REQUIRE(hub.subscribe(reply, std::move(filter), last));
    return reply;
  }
};

}  // namespace

TEST_CASE("hub: every subscriber gets each event with an id, once") {
  Fixture f;
  auto one = f.subscribe();
  auto two = f.subscribe();
  f.hub.publish("", "claims", "/a", "{\"n\":1}");
  f.hub.publish("alert", "claims", "", "{\"n\":2}");
  f.turn();
  for (auto& reply : {one, two}) {
    CHECK(reply->status == 200);
    CHECK(reply->content_type == "text/event-stream");
    const auto events = reply->events();
    REQUIRE(events.size() == 2);
    CHECK(events[0].event == "message");
    CHECK(events[0].data == "{\"n\":1}");
    CHECK(events[0].id == f.hub.epoch() + "-1");
    CHECK(events[1].event == "alert");
    CHECK(events[1].id == f.hub.epoch() + "-2");
  }
}

TEST_CASE("hub: a filter lets through its service and route, and what belongs to none") {
  Fixture f;
  auto reply = f.subscribe({"claims", "/a"});
  f.hub.publish("", "claims", "/a", "1");
  f.hub.publish("", "claims", "/b", "2");
  f.hub.publish("", "ui", "/a", "3");
  f.hub.publish("alert", "claims", "", "4");
  f.hub.publish("alert", "", "", "5");
  f.hub.publish("alert", "ui", "", "6");
  f.turn();
  std::string data;
  for (const auto& event : reply->events()) data += event.data;
  CHECK(data == "145");
}

TEST_CASE("hub: a reader that resumes gets what it missed, without a gap and without a repeat") {
  Fixture f;
  for (int i = 1; i <= 5; ++i) f.hub.publish("", "s", "r", std::to_string(i));
  auto reply = f.subscribe({}, f.hub.epoch() + "-3");
  f.hub.publish("", "s", "r", "6");
  f.turn();
  std::string data;
  for (const auto& event : reply->events()) data += event.data;
  CHECK(data == "456");
}

TEST_CASE("hub: an unknown or expired id is told as a gap") {
  HubOptions options;
  options.keep = net::Millis(60'000);
  Fixture f(options);
  f.hub.publish("", "s", "r", "1");
  f.hub.publish("", "s", "r", "2");
  for (const std::string& id : {std::string("elsewhere-1"), std::string("garbage"),
                                f.hub.epoch() + "-99", f.hub.epoch() + "-x"}) {
    const auto events = f.subscribe({}, id)->events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].event == "gap");
    CHECK(events[0].data.find("\"reason\":\"unknown\"") != std::string::npos);
  }
  f.clock.advance_millis(120'000);
  f.hub.publish("", "s", "r", "3");
  const auto events = f.subscribe({}, f.hub.epoch() + "-1")->events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].event == "gap");
  CHECK(events[0].data.find("\"reason\":\"expired\"") != std::string::npos);
}

TEST_CASE(
    "hub: a slow reader costs a bounded queue, skips with a gap, and hears the newest afterwards") {
  HubOptions options;
  options.stalled_after = net::Millis(0);
  Fixture f(options);
  auto slow = f.subscribe();
  slow->reading = false;
  const std::string kilobyte(1000, 'x');
  for (int i = 0; i < 2000; ++i) f.hub.publish("", "s", "r", kilobyte);
  f.turn();
  CHECK(slow->queued <= 300'000);
  slow->reading = true;
  slow->queued = 0;
  f.hub.publish("", "s", "r", "newest");
  f.turn();
  f.hub.publish("", "s", "r", "after");
  f.turn();
  const auto events = slow->events();
  CHECK(events.size() < 400);
  CHECK(events[events.size() - 2].event == "gap");
  CHECK(events[events.size() - 2].data.find("slow") != std::string::npos);
  CHECK(events.back().data == "after");
}

TEST_CASE("hub: there is a bound on subscribers, and one that left makes room") {
  HubOptions options;
  options.max_subscribers = 1;
  Fixture f(options);
  auto first = f.subscribe();
  auto second = std::make_shared<FakeReply>();
  CHECK_FALSE(f.hub.subscribe(second, {}, {}));
  CHECK(second->status == 0);
  first->closed = true;
  first->gone_callback();
  f.hub.publish("", "s", "r", "1");
  f.turn();
  CHECK(f.hub.stats().subscribers == 0);
  CHECK(f.hub.subscribe(second, {}, {}));
}

TEST_CASE("hub: a quiet stream is kept warm by comments that carry the place to resume from") {
  HubOptions options;
  options.keep_alive = net::Millis(0);
  Fixture f(options);
  auto reply = f.subscribe({"nobody", ""});
  f.hub.publish("", "s", "r", "1");
  const size_t before = reply->text.size();
  f.loop.run_until([&] { return reply->text.size() > before; }, net::Millis(5000));
  CHECK(reply->text.find(": keep-alive", before) != std::string::npos);
  CHECK(reply->text.find("id: " + f.hub.epoch() + "-1", before) != std::string::npos);
}

TEST_CASE("hub: replies that outlive it are harmless") {
  auto reply = std::make_shared<FakeReply>();
  {
    Fixture f;
    REQUIRE(f.hub.subscribe(reply, {}, {}));
  }
  reply->gone_callback();
}

TEST_CASE(
    "publisher: a complete second is published once, a late batch publishes it again under the "
    "same ts") {
  Fixture f;
  LiveWindowOptions options;
  options.clock = [&] { return f.clock.nanos; };
  auto window = make_live_window(options);
  std::vector<int64_t> heard;
  LivePublisher publisher(
      f.loop, *window, f.hub, [&](int64_t second) { heard.push_back(second); }, options.clock);
  auto reply = f.subscribe();
  const int64_t second = f.clock.second();
  f.clock.advance_millis(1100);
  window->add(test::MetricsBuilder().requests("claims", "/a", second, 5, 0.1).accepted());
  publisher.look();
  CHECK(heard.empty());  // 0.1 s after its end: too early
  f.clock.advance_millis(200);
  publisher.look();
  publisher.look();
  CHECK(heard == std::vector<int64_t>{second});
  window->add(test::MetricsBuilder()
                  .requests("claims", "/a", second, 2, 0.1, 200, "", false, "late")
                  .accepted());
  f.clock.advance_millis(3000);
  publisher.look();
  f.turn();
  const auto events = reply->events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].data.find("\"count\":5") != std::string::npos);
  CHECK(events[1].data.find("\"count\":7") != std::string::npos);
  const std::string ts = "\"ts\":" + std::to_string(second * 1000);
  CHECK(events[0].data.find(ts) != std::string::npos);
  CHECK(events[1].data.find(ts) != std::string::npos);
}

TEST_CASE("publisher: a sidecar that does not report is waited for at most 2 s") {
  Fixture f;
  LiveWindowOptions options;
  options.clock = [&] { return f.clock.nanos; };
  auto window = make_live_window(options);
  std::vector<int64_t> heard;
  const int64_t second = f.clock.second();
  window->add(test::MetricsBuilder()
                  .requests("a", "/", second - 1, 1, 0.1, 200, "", false, "silent")
                  .accepted());
  LivePublisher publisher(
      f.loop, *window, f.hub, [&](int64_t s) { heard.push_back(s); }, options.clock);
  f.clock.advance_millis(1000);
  window->add(test::MetricsBuilder()
                  .requests("a", "/", second, 1, 0.1, 200, "", false, "other")
                  .accepted());
  f.clock.advance_millis(1900);
  publisher.look();
  CHECK(heard.empty());
  f.clock.advance_millis(200);
  publisher.look();
  CHECK(heard == std::vector<int64_t>{second});
}
