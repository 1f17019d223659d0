// endpoint.h: one address of an upstream as a worker sees it: its idle connections, what is in
// flight, how fast it answers.
//
// Keyed by address (and by how TLS is spoken to it) and kept over reloads, so that a new
// configuration forgets nothing. Idle connections are used last in, first out: few of them, and
// warm. Thread: the worker's.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/io/loop.h"
#include "net/io/stream.h"
#include "net/io/tls_context.h"

namespace hms::proxy {

class Pool;
struct Endpoint;

/// So many more addresses of a host than the first are tried in one attempt.
inline constexpr uint32_t kMostOtherAddresses = 4;

/// Who holds a leased connection.
class UpstreamUser {
 public:
  virtual void on_upstream_bytes(std::string_view bytes) = 0;
  virtual void on_upstream_eof() = 0;
  virtual void on_upstream_writable() = 0;
  virtual void on_upstream_closed(const net::Error& error) = 0;

 protected:
  ~UpstreamUser() = default;
};

/// A connection to an endpoint: leased to a user, or idle in its endpoint's list.
class UpstreamConnection final : public net::StreamHandler {
 public:
  UpstreamConnection(Pool& pool, Endpoint& endpoint, std::unique_ptr<net::Stream> stream);
  ~UpstreamConnection();

  [[nodiscard]] net::Stream& stream() noexcept { return *stream_; }
  [[nodiscard]] Endpoint& endpoint() noexcept { return endpoint_; }
  void set_user(UpstreamUser* user) noexcept { user_ = user; }

  uint64_t idle_since_millis = 0;
  uint64_t requests = 0;  // answered on this connection

 private:
  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_writable() override;
  void on_closed(const net::Error& error) override;

  Pool& pool_;
  Endpoint& endpoint_;
  std::unique_ptr<net::Stream> stream_;
  UpstreamUser* user_ = nullptr;
};

/// Peak-sensitive moving average of the time to a reply (Finagle's PeakEwma): rises at once, decays
/// over 10 s.
class PeakEwma {
 public:
  void observe(uint64_t nanos, uint64_t now_millis) noexcept {
    const auto value = static_cast<double>(nanos);
    const double elapsed = static_cast<double>(now_millis - stamp_millis_);
    const double keep = std::exp(-elapsed / kDecayMillis);
    nanos_ = value > nanos_ ? value : nanos_ * keep + value * (1.0 - keep);
    stamp_millis_ = now_millis;
  }
  /// An endpoint that nobody asks is forgiven over time.
  [[nodiscard]] double nanos(uint64_t now_millis) const noexcept {
    return nanos_ * std::exp(-static_cast<double>(now_millis - stamp_millis_) / kDecayMillis);
  }

 private:
  static constexpr double kDecayMillis = 10'000;
  double nanos_ = 0;
  uint64_t stamp_millis_ = 0;
};

struct Endpoint {
  net::SocketAddress address;
  std::string text;
  std::shared_ptr<net::TlsSource> tls;  // null: plain
  std::string server_name;              // with TLS: what its certificate is for
  uint32_t name_id = 0;                 // of the worker's NameTable
  bool referenced = false;  // by the view in force; otherwise it goes when its last request ends
  std::vector<std::unique_ptr<UpstreamConnection>> idle;
  bool dynamic = false;  // an outbound host without a route: forgotten a minute after its last use
  bool own_inbound = false, own_outbound = false;  // one of our own listeners
  /// Asked from our inbound side, either listener goes in a circle; the service's own calls may
  /// well be for itself, and come in as everybody's.
  [[nodiscard]] bool leads_back(bool from_inbound) const noexcept {
    return own_outbound || (from_inbound && own_inbound);
  }
  uint64_t last_used_millis = 0;
  uint32_t in_flight = 0;
  uint32_t connections = 0;  // open, idle ones included
  PeakEwma latency;
  // An address of a host that has others, and that could not be reached: passed over until then.
  uint32_t refusals = 0;
  uint64_t refused_until_millis = 0;
  uint32_t quiet_closes =
      0;  // in a row: connections closed right after a reply, unannounced; a good reuse clears it
  // What is known of how long the service keeps an idle connection, with the margin taken off; 0:
  // nothing. What was seen counts before what it says, for a while.
  uint64_t idle_limit_seen_millis = 0, idle_limit_said_millis = 0;
  uint64_t idle_limit_seen_at_millis = 0, idle_limit_told_at_millis = 0;
  [[nodiscard]] uint64_t idle_limit_millis() const noexcept {
    return idle_limit_seen_millis != 0 ? idle_limit_seen_millis : idle_limit_said_millis;
  }
  // Health (outlier.h)
  uint32_t consecutive_failures = 0, ejections_in_a_row = 0;
  uint64_t ejected_until_millis = 0, last_ejection_millis = 0;  // the loop's clock
  uint64_t ejections = 0;
  uint64_t requests = 0, failures = 0, connects = 0, connect_failures = 0, reused = 0, stale = 0;
};

/// One request's place in its endpoint's `in_flight`: taken for an attempt, given back with it
/// whatever its end is.
class InFlight {
 public:
  InFlight() = default;
  ~InFlight() { release(); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  void take(Endpoint& endpoint) noexcept {
    release();
    endpoint_ = &endpoint;
    ++endpoint_->in_flight;
  }
  void release() noexcept {
    if (endpoint_ != nullptr) --endpoint_->in_flight;
    endpoint_ = nullptr;
  }
  /// Somebody else counts it from here on.
  void hand_over() noexcept { endpoint_ = nullptr; }

 private:
  Endpoint* endpoint_ = nullptr;
};

}  // namespace hms::proxy
