#include "collector/alerts/delivery.h"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "net/http/server.h"

#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;
using nlohmann::json;

namespace {

/// A table whose content a test can look at, and hand to the next "process".
class SharedTable final : public DurableTable {
 public:
  SharedTable(net::Loop& loop, std::map<std::string, std::string>& values)
      : loop_(loop), values_(values) {}
  void put(std::string key, std::string value, Done done) override {
    values_[std::move(key)] = std::move(value);
    if (done)
      loop_.post([done = std::move(done), token = std::weak_ptr<bool>(alive_)] {
        if (token.lock()) done({});
      });
  }
  void remove(std::string key, Done) override { values_.erase(key); }
  size_t unstored() const override { return 0; }
  net::Result<Entries> load() const override { return Entries(values_.begin(), values_.end()); }

 private:
  net::Loop& loop_;
  std::map<std::string, std::string>& values_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

struct Fixture {
  test::TestClock clock;
  net::Loop loop;
  std::map<std::string, std::string> stored;
  std::vector<json> bodies;
  int status = 200;
  bool holding = false;
  std::vector<net::ReplyPtr> held;
  std::unique_ptr<net::HttpServer> server = net::HttpServer::create(loop, {});
  std::string url;
  Silences silences{make_memory_table(loop), [this] { return clock.nanos; }};
  std::unique_ptr<AlertBook> book;
  std::unique_ptr<Delivery> delivery;

  Fixture() {
    server->route("POST", "/hook", [this](net::Request& request, const net::ReplyPtr& reply) {
      bodies.push_back(json::parse(request.body));
      if (holding) {
        held.push_back(reply);
      } else {
        reply->send(status, "application/json", "{}");
      }
    });
    const auto bound = server->listen(net::SocketAddress::parse("127.0.0.1:0").value());
    url = "http://" + bound.value().to_string() + "/hook";
    start();
  }
  ~Fixture() {
    held.clear();
    delivery.reset();
  }

  void start() {
    delivery.reset();
    book = std::make_unique<AlertBook>(std::make_unique<SharedTable>(loop, stored));
    delivery = std::make_unique<Delivery>(
        loop, *book, silences, [this] { return clock.nanos; }, "http://ops");
    book->on_durable([this] { delivery->turn(); });
  }
  NotifierConfig config(const char* type = "webhook") const {
    NotifierConfig config;
    config.name = "hook";
    config.type = type;
    config.url = url;
    config.routing_key = "k";
    return config;
  }
  void notifiers(std::vector<NotifierConfig> configs) {
    delivery->set_notifiers(std::move(configs));
  }
  [[nodiscard]] int64_t now() const { return static_cast<int64_t>(clock.nanos / 1'000'000); }
  Alert alert(const char* service = "claims") const {
    Alert alert;
    alert.labels = {{"alertname", "Down"}, {"service_name", service}};
    alert.state = AlertState::firing;
    alert.active_at = alert.fired_at = now();
    return alert;
  }
  void fire(const Alert& alert) { book->set(alert); }
  void resolve(Alert alert) {
    alert.state = AlertState::inactive;
    alert.resolved_at = now();
    book->set(alert);
  }
  bool wait(const std::function<bool()>& condition) {
    return loop.run_until(condition, net::Millis(10'000));
  }
  /// Lets whatever would wrongly be sent be sent.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      delivery->turn();
      bool turned = false;
      loop.post([&] { turned = true; });
      wait([&] { return turned; });
    }
  }
};

}  // namespace

TEST_CASE("delivery: a firing alert is told once, its end once, and then it is forgotten") {
  Fixture f;
  f.notifiers({f.config()});
  f.fire(f.alert());
  REQUIRE(f.wait([&] { return f.bodies.size() == 1; }));
  CHECK(f.bodies[0]["status"] == "firing");
  f.settle();
  CHECK(f.bodies.size() == 1);
  f.resolve(f.alert());
  REQUIRE(f.wait([&] { return f.bodies.size() == 2; }));
  CHECK(f.bodies[1]["status"] == "resolved");
  REQUIRE(f.wait([&] { return f.book->records().empty(); }));
  CHECK(f.stored.empty());
  CHECK(f.delivery->stats()[0].sent == 2);
}

TEST_CASE("delivery: 503 is tried again after a pause, 400 is not") {
  Fixture f;
  f.notifiers({f.config()});
  f.status = 503;
  f.fire(f.alert());
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].retries == 1; }));
  f.settle();
  CHECK(f.bodies.size() == 1);  // the pause
  f.status = 200;
  f.clock.advance_millis(1001);
  REQUIRE(f.wait([&] { return f.bodies.size() == 2 && f.delivery->stats()[0].sent == 1; }));
  f.status = 400;
  f.fire(f.alert("ui"));
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].refused == 1; }));
  f.clock.advance_millis(600'000);
  f.settle();
  CHECK(f.bodies.size() == 3);
}

TEST_CASE("delivery: what was told before a kill is not told again, and what was not is") {
  Fixture f;
  f.notifiers({f.config()});
  f.fire(f.alert("claims"));
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 1; }));
  f.holding = true;  // the answer to the second never comes
  f.fire(f.alert("ui"));
  REQUIRE(f.wait([&] { return f.bodies.size() == 2; }));
  f.start();  // a new process on the same store
  f.held.clear();
  f.holding = false;
  CHECK(f.book->records().size() == 2);
  f.notifiers({f.config()});
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 1; }));
  f.settle();
  REQUIRE(f.bodies.size() == 3);
  // The repeated one is the same to its receiver: fingerprint and start.
  CHECK(f.bodies[2]["alerts"] == f.bodies[1]["alerts"]);
  f.resolve(f.alert("claims"));
  f.resolve(f.alert("ui"));
  REQUIRE(f.wait([&] { return f.book->records().empty(); }));
}

TEST_CASE("delivery: an alert that ends while its begin is under way is told of both, in order") {
  Fixture f;
  f.notifiers({f.config()});
  f.holding = true;
  f.fire(f.alert());
  REQUIRE(f.wait([&] { return f.held.size() == 1; }));
  f.resolve(f.alert());
  f.settle();
  CHECK(f.bodies.size() == 1);
  f.holding = false;
  f.held[0]->send(200, "application/json", "{}");
  REQUIRE(f.wait([&] { return f.bodies.size() == 2; }));
  CHECK(f.bodies[1]["status"] == "resolved");
}

TEST_CASE("delivery: one that fires again while its end is under way is told again") {
  Fixture f;
  f.notifiers({f.config()});
  f.fire(f.alert());
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 1; }));
  f.holding = true;
  f.resolve(f.alert());
  REQUIRE(f.wait([&] { return f.held.size() == 1; }));
  f.fire(f.alert());
  f.holding = false;
  f.held[0]->send(200, "application/json", "{}");
  REQUIRE(f.wait([&] { return f.bodies.size() == 3; }));
  CHECK(f.bodies[2]["status"] == "firing");
}

TEST_CASE(
    "delivery: a silence holds the begin back until it ends; the end of what was told gets "
    "through") {
  Fixture f;
  f.notifiers({f.config()});
  const auto silence = [&](const char* service) {
    bool made = false;
    f.silences.put({{"matchers", {{{"name", "service_name"}, {"value", service}}}},
                    {"startsAt", "2023-11-14T22:00:00Z"},
                    {"endsAt", "2023-11-14T22:30:00Z"}},
                   [&](net::Result<std::string> id) { made = id.ok(); });
    REQUIRE(f.wait([&] { return made; }));
  };
  silence("claims");
  f.fire(f.alert("claims"));
  f.fire(f.alert("ui"));
  REQUIRE(f.wait([&] { return f.bodies.size() == 1; }));
  f.settle();
  CHECK(f.bodies.size() == 1);
  CHECK(f.bodies[0]["alerts"][0]["labels"]["service_name"] == "ui");
  silence("ui");
  f.resolve(f.alert("ui"));
  REQUIRE(f.wait([&] { return f.bodies.size() == 2; }));
  CHECK(f.bodies[1]["status"] == "resolved");
  f.clock.advance_millis(1'800'000);
  REQUIRE(f.wait([&] { return f.bodies.size() == 3; }));
  CHECK(f.bodies[2]["alerts"][0]["labels"]["service_name"] == "claims");
}

TEST_CASE("delivery: only notifiers marked soc hear security logs, and nobody of their end") {
  Fixture f;
  NotifierConfig plain = f.config(), soc = f.config();
  soc.name = "soc";
  soc.soc = true;
  f.notifiers({plain, soc});
  Alert alert = f.alert();
  alert.security = true;
  f.fire(alert);
  REQUIRE(f.wait([&] { return f.bodies.size() == 1; }));
  f.settle();
  REQUIRE(f.bodies.size() == 1);
  CHECK(f.bodies[0]["receiver"] == "soc");
  f.resolve(alert);
  REQUIRE(f.wait([&] { return f.book->records().empty(); }));
  CHECK(f.bodies.size() == 1);
}

TEST_CASE("delivery: alerts of one name go together to a webhook, one by one to PagerDuty") {
  Fixture f;
  for (int i = 0; i < 100; ++i) f.fire(f.alert(("s" + std::to_string(i)).c_str()));
  f.settle();
  f.notifiers({f.config()});
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 2; }));
  CHECK(f.bodies[0]["alerts"].size() + f.bodies[1]["alerts"].size() == 100);
  f.bodies.clear();
  NotifierConfig pager = f.config("pagerduty");
  pager.name = "pager";
  f.notifiers({pager});
  REQUIRE(f.wait([&] { return f.bodies.size() == 100; }));
}

TEST_CASE("delivery: what still fires is told again after `repeat`") {
  Fixture f;
  NotifierConfig config = f.config();
  config.repeat = net::Millis(60'000);
  f.notifiers({config});
  f.fire(f.alert());
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 1; }));
  f.clock.advance_millis(60'000);
  REQUIRE(f.wait([&] { return f.delivery->stats()[0].sent == 2; }));
  CHECK(f.bodies[1]["alerts"][0]["startsAt"] == f.bodies[0]["alerts"][0]["startsAt"]);
}
