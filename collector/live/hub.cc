// hub.cc: a ring of finished texts and a cursor per subscriber.
#include "collector/live/hub.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <optional>
#include <vector>

#include "net/core/random.h"
#include "net/http/sse.h"
#include "net/io/timer_wheel.h"

namespace hms::collector {
namespace {

constexpr size_t kHighQueue = 256 * 1024;  // bytes on one connection before we wait for its reader
constexpr size_t kMostPerWrite = 32 * 1024;
constexpr net::Millis kPumpEvery{
    100};  // how often readers that lag are looked at; a Reply does not tell when it drained

struct Event {
  uint64_t sequence = 0;
  int64_t at_millis = 0;
  std::string service, route;
  std::string text;
};

struct Subscriber {
  net::ReplyPtr reply;
  HubFilter filter;
  uint64_t next = 0;                      // the sequence to look at next
  uint64_t last_written_at = 0;           // loop milliseconds
  std::optional<uint64_t> blocked_since;  // loop milliseconds
  std::optional<int64_t> gap_from;        // when the last event it was sent happened
  int64_t last_event_at = 0;
  bool gone = false;
};

bool passes(const HubFilter& filter, const Event& event) {
  const auto fits = [](const std::string& wanted, const std::string& have) {
    return wanted.empty() || have.empty() || wanted == have;
  };
  return fits(filter.service, event.service) && fits(filter.route, event.route);
}

}  // namespace

struct LiveHub::Impl {
  Impl(net::Loop& event_loop, HubOptions given)
      : loop(event_loop), options(std::move(given)), pump_timer(event_loop, [this] { on_pump(); }) {
    if (!options.clock) options.clock = net::unix_nanos;
    // Milliseconds and a random part: two starts within one millisecond still differ.
    epoch = std::to_string(options.clock() / 1'000'000) + "x" +
            std::to_string(net::random_below(1'000'000));
    pump_timer.arm(kPumpEvery);
  }

  [[nodiscard]] int64_t now_millis() const {
    return static_cast<int64_t>(options.clock() / 1'000'000);
  }
  [[nodiscard]] uint64_t first_sequence() const {
    return ring.empty() ? next_sequence : ring.front().sequence;
  }
  [[nodiscard]] std::string id(uint64_t sequence) const {
    return epoch + "-" + std::to_string(sequence);
  }

  void publish(std::string_view name, std::string_view service, std::string_view route,
               std::string_view json) {
    Event event{next_sequence++, now_millis(), std::string(service), std::string(route), {}};
    event.text = net::sse_event(name, id(event.sequence), json);
    kept_bytes += event.text.size();
    ring.push_back(std::move(event));
    ++events;
    trim();
    pump_soon();
  }

  /// A second's points come one after the other: they go out together, in one write a subscriber.
  void pump_soon() {
    if (pump_posted) return;
    pump_posted = true;
    loop.post([this, token = std::weak_ptr<bool>(alive)] {
      if (!token.lock()) return;
      pump_posted = false;
      for (auto& subscriber : subscribers) pump(*subscriber);
      sweep();
    });
  }

  void trim() {
    const int64_t oldest = now_millis() - options.keep.count();
    while (!ring.empty() && (kept_bytes > options.max_bytes || ring.front().at_millis < oldest)) {
      kept_bytes -= ring.front().text.size();
      ring.pop_front();
    }
  }

  /// Where a subscriber with this Last-Event-ID goes on; sets `reason` when events may have been
  /// missed.
  uint64_t place_of(std::string_view last_id, std::string_view& reason) const {
    if (last_id.empty()) return next_sequence;
    const size_t dash = last_id.rfind('-');
    uint64_t sequence = 0;
    if (dash == std::string_view::npos || last_id.substr(0, dash) != epoch) {
      reason = "unknown";
      return next_sequence;
    }
    const std::string_view digits = last_id.substr(dash + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), sequence);
    if (error != std::errc() || end != digits.data() + digits.size() || sequence >= next_sequence) {
      reason = "unknown";
      return next_sequence;
    }
    if (sequence + 1 < first_sequence()) {
      reason = "expired";
      return next_sequence;
    }
    return sequence + 1;
  }

  bool subscribe(const net::ReplyPtr& reply, HubFilter filter, std::string_view last_id) {
    if (subscribers.size() >= options.max_subscribers) {
      ++refused;
      return false;
    }
    auto subscriber = std::make_unique<Subscriber>();
    subscriber->reply = reply;
    subscriber->filter = std::move(filter);
    subscriber->last_written_at = loop.now_millis();
    std::string_view reason;
    subscriber->next = place_of(last_id, reason);
    reply->start(200, "text/event-stream");
    // The first bytes at once: a reader then knows that it is connected, and from where on.
    reply->write("retry: 1000\n" + keep_alive_text(*subscriber));
    if (!reason.empty()) write_gap(*subscriber, reason, std::nullopt);
    Subscriber* raw = subscriber.get();
    reply->on_gone([this, raw, token = std::weak_ptr<bool>(alive)] {
      if (token.lock()) forget(raw);
    });
    subscribers.push_back(std::move(subscriber));
    pump(*raw);
    sweep();
    return true;
  }

  void forget(Subscriber* gone) {
    for (auto& subscriber : subscribers) {
      if (subscriber.get() == gone) subscriber->gone = true;
    }
  }

  /// A comment, and the id up to which a filtered reader has heard everything, though nothing of it
  /// was for him: so that he can resume there.
  [[nodiscard]] std::string keep_alive_text(const Subscriber& subscriber) const {
    std::string text = ": keep-alive\n";
    if (subscriber.next > 1) text += "id: " + id(subscriber.next - 1) + "\n";
    return text + "\n";
  }

  void write_gap(Subscriber& subscriber, std::string_view reason, std::optional<int64_t> from) {
    ++gaps;
    const int64_t now = now_millis();
    const std::string json = "{\"ts\":" + std::to_string(now) + ",\"reason\":\"" +
                             std::string(reason) +
                             "\",\"from\":" + (from ? std::to_string(*from) : "null") +
                             ",\"to\":" + std::to_string(now) + "}";
    const uint64_t place = subscriber.next == 0 ? 0 : subscriber.next - 1;
    subscriber.reply->write(net::sse_event("gap", id(place), json));
    subscriber.last_written_at = loop.now_millis();
  }

  void pump(Subscriber& subscriber) {
    if (subscriber.gone || subscriber.reply->gone()) {
      subscriber.gone = true;
      return;
    }
    if (subscriber.next < next_sequence || subscriber.gap_from) {
      if (subscriber.reply->queued_bytes() >= kHighQueue) {
        if (!subscriber.blocked_since) subscriber.blocked_since = loop.now_millis();
        return;
      }
      skip_if_late(subscriber);
    }
    subscriber.blocked_since.reset();
    while (subscriber.next < next_sequence && subscriber.reply->queued_bytes() < kHighQueue) {
      if (!write_some(subscriber)) return;
    }
    if (subscriber.next < next_sequence) subscriber.blocked_since = loop.now_millis();
  }

  /// The next events, up to kMostPerWrite bytes, in one write. False when they were not taken: they
  /// stay his next ones.
  bool write_some(Subscriber& subscriber) {
    std::string text;
    uint64_t next = subscriber.next;
    int64_t last_at = subscriber.last_event_at;
    for (; next < next_sequence && text.size() < kMostPerWrite; ++next) {
      const Event& event = ring[static_cast<size_t>(next - ring.front().sequence)];
      if (passes(subscriber.filter, event)) text += event.text;
      last_at = event.at_millis;
    }
    if (!text.empty()) {
      if (!subscriber.reply->write(text)) {
        if (subscriber.reply->gone()) subscriber.gone = true;
        return false;
      }
      subscriber.last_written_at = loop.now_millis();
    }
    subscriber.next = next;
    subscriber.last_event_at = last_at;
    return true;
  }

  /// A reader that took nothing for a long time, or whose place has left the ring, goes on at the
  /// newest.
  void skip_if_late(Subscriber& subscriber) {
    const bool stalled =
        subscriber.blocked_since && loop.now_millis() - *subscriber.blocked_since >=
                                        static_cast<uint64_t>(options.stalled_after.count());
    const bool expired = subscriber.next < first_sequence();
    if (!stalled && !expired) return;
    std::optional<int64_t> from;
    if (subscriber.last_event_at != 0) from = subscriber.last_event_at;
    subscriber.next = next_sequence;
    write_gap(subscriber, "slow", from);
  }

  void on_pump() {
    trim();
    const uint64_t now = loop.now_millis();
    for (auto& subscriber : subscribers) {
      pump(*subscriber);
      if (!subscriber->gone &&
          now - subscriber->last_written_at >= static_cast<uint64_t>(options.keep_alive.count())) {
        subscriber->reply->write(keep_alive_text(*subscriber));
        subscriber->last_written_at = now;
      }
    }
    sweep();
    pump_timer.arm(kPumpEvery);
  }

  void sweep() {
    std::erase_if(subscribers, [](const auto& subscriber) { return subscriber->gone; });
  }

  net::Loop& loop;
  HubOptions options;
  std::string epoch;
  std::deque<Event> ring;
  uint64_t next_sequence = 1;
  size_t kept_bytes = 0;
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  uint64_t events = 0, gaps = 0, refused = 0;
  bool pump_posted = false;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // a reply may outlive the hub
  net::Timer pump_timer;
};

LiveHub::LiveHub(net::Loop& loop, HubOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
LiveHub::~LiveHub() = default;

void LiveHub::publish(std::string_view event, std::string_view service, std::string_view route,
                      std::string_view json) {
  impl_->publish(event, service, route, json);
}

bool LiveHub::subscribe(const net::ReplyPtr& reply, HubFilter filter,
                        std::string_view last_event_id) {
  return impl_->subscribe(reply, std::move(filter), last_event_id);
}

HubStats LiveHub::stats() const {
  return {impl_->subscribers.size(), impl_->events, impl_->kept_bytes, impl_->gaps, impl_->refused};
}

const std::string& LiveHub::epoch() const noexcept { return impl_->epoch; }

}  // namespace hms::collector
