// delivery.cc: what is due, for whom, when again.
#include "collector/alerts/delivery.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "collector/alerts/registry.h"
#include "net/core/log.h"
#include "net/core/random.h"
#include "net/http/client.h"
#include "net/io/timer_wheel.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxInFlight = 4;
constexpr size_t kMaxAlertsPerRequest = 64;
constexpr net::Millis kTurnEvery{100};
constexpr int64_t kFirstPauseMillis = 1000;
constexpr int64_t kLongestPauseMillis = 60'000;
constexpr int64_t kLongestRetryAfterMillis = 300'000;
constexpr int64_t kGiveUpMillis = 3'600'000;
constexpr int64_t kGiveUpSecurityMillis = 86'400'000;  // a security log is not let go within a day

bool is_final(int status) { return status != 408 && status != 429 && status < 500; }

struct Notifier {
  NotifierConfig config;
  const NotifierKind* kind = nullptr;
  NotifierStats stats;
  int64_t not_before = 0;
  int failures = 0;
  size_t in_flight = 0;
};

struct Message {
  std::shared_ptr<Notifier> notifier;
  std::vector<std::string> keys;
  std::vector<bool> resolved;  // what each was told
  std::unique_ptr<net::ClientCall> call;
};

}  // namespace

struct Delivery::Impl {
  Impl(net::Loop& event_loop, AlertBook& alert_book, const Silences& all_silences, net::Clock given,
       std::string url)
      : loop(event_loop),
        book(alert_book),
        silences(all_silences),
        clock(given ? std::move(given) : net::Clock(net::unix_nanos)),
        external_url(std::move(url)),
        client(net::HttpClient::create(event_loop)),
        timer(event_loop, [this] {
          turn();
          timer.arm(kTurnEvery);
        }) {
    timer.arm(kTurnEvery);
  }

  [[nodiscard]] int64_t now() const { return static_cast<int64_t>(clock() / 1'000'000); }

  void set_notifiers(std::vector<NotifierConfig> configs) {
    std::vector<std::shared_ptr<Notifier>> next;
    for (NotifierConfig& config : configs) {
      auto notifier = std::make_shared<Notifier>();
      notifier->kind = find_notifier_kind(config.type);
      if (notifier->kind == nullptr) continue;  // read_notifiers has refused it before
      notifier->stats.name = config.name;
      notifier->stats.type = config.type;
      const auto old = std::find_if(notifiers.begin(), notifiers.end(), [&](const auto& known) {
        return known->config.name == config.name;
      });
      if (old != notifiers.end()) notifier->stats = (*old)->stats;
      notifier->config = std::move(config);
      next.push_back(std::move(notifier));
    }
    notifiers = std::move(next);
    // Who is not there any more need not be told.
    for (auto& [key, record] : book.records()) {
      std::erase_if(record.told, [&](const auto& entry) {
        return std::none_of(notifiers.begin(), notifiers.end(), [&](const auto& notifier) {
          return notifier->config.name == entry.first;
        });
      });
    }
  }

  enum class Due { nothing, firing, resolved };

  [[nodiscard]] static bool hears(const Notifier& notifier, const Alert& alert) {
    return !alert.security || notifier.config.soc;
  }

  Due due(const Notifier& notifier, AlertRecord& record, int64_t time) const {
    const Alert& alert = record.alert;
    if (!record.durable || !hears(notifier, alert)) return Due::nothing;
    const auto at = record.told.find(notifier.config.name);
    const Told told = at == record.told.end() ? Told{} : at->second;
    if (told.in_flight) return Due::nothing;
    if (alert.resolved_at != 0 && !alert.security) {
      const bool owed =
          (told.firing || told.attempted) && !told.resolved && notifier.config.send_resolved;
      return owed ? Due::resolved : Due::nothing;
    }
    if (told.firing && !repeat_due(notifier, alert, told, time)) return Due::nothing;
    return silences.silencing(alert.labels).empty() ? Due::firing : Due::nothing;
  }

  static bool repeat_due(const Notifier& notifier, const Alert& alert, const Told& told,
                         int64_t time) {
    if (alert.security) return false;
    int64_t every = notifier.config.repeat.count();
    if (notifier.kind->refresh.count() != 0) every = notifier.kind->refresh.count();
    return every != 0 && time - told.at >= every;
  }

  void turn() {
    if (turning) return;
    turning = true;
    const int64_t time = now();
    for (const auto& notifier : std::vector<std::shared_ptr<Notifier>>(notifiers)) {
      if (time < notifier->not_before) continue;
      send_due(notifier, time);
    }
    forget_done(time);
    turning = false;
  }

  void send_due(const std::shared_ptr<Notifier>& notifier, int64_t time) {
    // While it fails, one request at a time finds out whether it is back.
    const size_t most = notifier->failures > 0 ? 1 : kMaxInFlight;
    std::map<std::string, std::vector<std::string>> groups;
    for (auto& [key, record] : book.records()) {
      if (due(*notifier, record, time) == Due::nothing) continue;
      groups[notifier->kind->one_at_a_time ? key : record.alert.name()].push_back(key);
    }
    for (auto& [name, keys] : groups) {
      for (size_t begin = 0; begin < keys.size(); begin += kMaxAlertsPerRequest) {
        if (notifier->in_flight >= most) return;
        const size_t end = std::min(keys.size(), begin + kMaxAlertsPerRequest);
        send(notifier,
             {keys.begin() + static_cast<ptrdiff_t>(begin),
              keys.begin() + static_cast<ptrdiff_t>(end)},
             time);
      }
    }
  }

  void send(const std::shared_ptr<Notifier>& notifier, std::vector<std::string> keys,
            int64_t time) {
    NotificationGroup group;
    group.now_millis = time;
    group.external_url = external_url;
    auto message = std::make_shared<Message>();
    message->notifier = notifier;
    for (const std::string& key : keys) {
      AlertRecord& record = book.records().at(key);
      group.alerts.push_back(record.alert);
      // A security log has no end that anyone is told of: a person closes it.
      if (record.alert.security) group.alerts.back().resolved_at = 0;
      message->resolved.push_back(is_resolved(group.alerts.back()));
      Told& told = record.told[notifier->config.name];
      told.in_flight = true;
      told.attempted = true;
    }
    message->keys = std::move(keys);
    const NotifierRequest rendered = notifier->kind->render(notifier->config, group);
    if (rendered.body.empty()) {
      succeeded(*message);
      return;
    }
    net::ClientRequest request;
    request.method = "POST";
    request.url = rendered.url;
    request.headers = rendered.headers;
    for (const auto& header : notifier->config.headers) request.headers.push_back(header);
    request.headers.emplace_back("User-Agent", "hms-collector");
    request.body = rendered.body;
    ++notifier->in_flight;
    messages.insert(message);
    message->call =
        client->send(std::move(request), [this, message](net::Result<net::ClientReply> reply) {
          on_reply(message, std::move(reply));
        });
  }

  void on_reply(const std::shared_ptr<Message>& message, net::Result<net::ClientReply> reply) {
    Notifier& notifier = *message->notifier;
    --notifier.in_flight;
    if (reply && reply->status >= 200 && reply->status < 300) {
      notifier.failures = 0;
      notifier.not_before = 0;
      succeeded(*message);
    } else if (reply && is_final(reply->status)) {
      ++notifier.stats.refused;
      net::log_error("notifier refused an alert",
                     {{"notifier", notifier.config.name},
                      {"status", reply->status},
                      {"answer", telemetry::cut_utf8(reply->body, 300)}});
      mark(*message, true);
    } else {
      failed(*message, reply);
    }
    loop.retire(std::move(message->call));  // this is its own callback
    messages.erase(message);
    turn();
  }

  void succeeded(const Message& message) {
    ++message.notifier->stats.sent;
    mark(message, true);
  }

  void failed(const Message& message, const net::Result<net::ClientReply>& reply) {
    Notifier& notifier = *message.notifier;
    ++notifier.stats.retries;
    notifier.failures = std::min(notifier.failures + 1, 20);
    int64_t pause =
        std::min(kLongestPauseMillis, kFirstPauseMillis << std::min(notifier.failures - 1, 6));
    pause =
        pause / 2 + static_cast<int64_t>(net::random_below(static_cast<uint64_t>(pause / 2 + 1)));
    if (reply) pause = std::max(pause, retry_after(reply->headers));
    notifier.not_before = now() + pause;
    net::log_warn("notifier not reached, trying again",
                  {{"notifier", notifier.config.name},
                   {"error", reply ? "status " + std::to_string(reply->status)
                                   : net::to_string(reply.error())},
                   {"pause_ms", pause}});
    mark(message, false);
  }

  static int64_t retry_after(const net::Headers& headers) {
    const std::string_view text = net::header_value(headers, "retry-after");
    int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() || seconds < 0)
      return 0;
    return std::min<int64_t>(seconds, kLongestRetryAfterMillis / 1000) * 1000;
  }

  /// Writes down what each alert's notifier knows now.
  void mark(const Message& message, bool told_now) {
    const std::string& name = message.notifier->config.name;
    for (size_t i = 0; i < message.keys.size(); ++i) {
      const auto at = book.records().find(message.keys[i]);
      if (at == book.records().end()) continue;
      const auto entry = at->second.told.find(name);
      if (entry == at->second.told.end()) continue;  // the notifier went with a reload
      entry->second.in_flight = false;
      if (told_now) {
        entry->second.at = now();
        (message.resolved[i] ? entry->second.resolved : entry->second.firing) = true;
        // It fires again since the end was sent: that is news.
        if (message.resolved[i] && at->second.alert.resolved_at == 0) entry->second = Told{};
      }
      book.store_told(message.keys[i]);
    }
  }

  /// Resolved alerts that nobody must hear of any more leave the book.
  void forget_done(int64_t time) {
    std::vector<std::string> done;
    for (auto& [key, record] : book.records()) {
      if (record.alert.resolved_at == 0 || !record.durable) continue;
      const bool late = time - record.alert.resolved_at >
                        (record.alert.security ? kGiveUpSecurityMillis : kGiveUpMillis);
      bool waiting = false;
      std::vector<Notifier*> given_up;
      for (const auto& notifier : notifiers) {
        const auto at = record.told.find(notifier->config.name);
        const bool in_flight = at != record.told.end() && at->second.in_flight;
        const bool owed = due(*notifier, record, time) != Due::nothing;
        if (in_flight || (owed && !late)) waiting = true;
        if (owed && late) given_up.push_back(notifier.get());
      }
      if (waiting) continue;
      for (Notifier* notifier : given_up) ++notifier->stats.given_up;
      done.push_back(key);
    }
    for (const std::string& key : done) book.remove(key);
  }

  net::Loop& loop;
  AlertBook& book;
  const Silences& silences;
  net::Clock clock;
  std::string external_url;
  std::vector<std::shared_ptr<Notifier>> notifiers;
  std::set<std::shared_ptr<Message>> messages;
  std::unique_ptr<net::HttpClient> client;
  bool turning = false;
  net::Timer timer;
};

Delivery::Delivery(net::Loop& loop, AlertBook& book, const Silences& silences, net::Clock clock,
                   std::string external_url)
    : impl_(std::make_unique<Impl>(loop, book, silences, std::move(clock),
                                   std::move(external_url))) {}

Delivery::~Delivery() {
  // The calls hold the messages and the messages the calls: cut the ring, which also silences what
  // is under way.
  for (const auto& message : impl_->messages) message->call.reset();
}

void Delivery::set_notifiers(std::vector<NotifierConfig> configs) {
  impl_->set_notifiers(std::move(configs));
}
void Delivery::turn() { impl_->turn(); }

std::vector<NotifierStats> Delivery::stats() const {
  std::vector<NotifierStats> all;
  for (const auto& notifier : impl_->notifiers) all.push_back(notifier->stats);
  return all;
}

}  // namespace hms::collector
