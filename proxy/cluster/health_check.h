// health_check.h: active health: every endpoint of an upstream with `health_check` is asked in
// turn, once for the whole process, and the workers are told who does not answer.
//
// With a path: GET, 200 to 399 is well. Without one: connecting is enough; with TLS: the handshake.
// `unhealthy` bad checks in a row take an endpoint out, `healthy` good ones bring it back; a new
// one starts well. Thread: main.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/http/client.h"
#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "proxy/config/snapshot.h"

namespace hms::proxy {

class HealthChecker {
 public:
  /// `on_change` hears of the endpoints that fail, all of them each time: "upstream address".
  HealthChecker(net::Loop& loop, std::function<void(const std::vector<std::string>&)> on_change);
  ~HealthChecker();

  /// Checks what the snapshot asks for; goes on where address and settings are the same.
  void watch(const Snapshot& snapshot);
  [[nodiscard]] std::vector<std::string> failed() const;
  uint64_t good = 0, bad = 0;  // checks since start

 private:
  struct Check;
  void begin(Check& check);
  void done(Check& check, bool well, const std::string& why);

  net::Loop& loop_;
  std::function<void(const std::vector<std::string>&)> on_change_;
  std::unique_ptr<net::HttpClient> client_;
  std::map<std::string, std::unique_ptr<Check>> checks_;  // "upstream address"
};

}  // namespace hms::proxy
