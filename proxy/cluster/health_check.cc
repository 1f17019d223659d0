#include "proxy/cluster/health_check.h"

#include <algorithm>

#include "net/core/log.h"
#include "net/io/tls_stream.h"

namespace hms::proxy {

namespace {

/// No descriptor was left for the check: nothing is known of the endpoint.
template <class T>
bool is_our_own_want(const net::Result<T>& result) {
  return !result.ok() && result.error().code == net::Code::overloaded;
}

}  // namespace

struct HealthChecker::Check {
  Check(net::Loop& loop, std::function<void()> begin) : timer(loop, std::move(begin)) {}
  std::string upstream, server_name;
  net::SocketAddress address;
  std::shared_ptr<net::TlsSource> tls;
  HealthCheckConfig config;
  net::Timer timer;
  std::unique_ptr<net::ClientCall> call;
  std::unique_ptr<net::Connector> connector;
  uint32_t good_in_a_row = 0, bad_in_a_row = 0;
  bool failed = false;
};

HealthChecker::HealthChecker(net::Loop& loop,
                             std::function<void(const std::vector<std::string>&)> on_change)
    : loop_(loop), on_change_(std::move(on_change)), client_(net::HttpClient::create(loop)) {}
HealthChecker::~HealthChecker() = default;

void HealthChecker::watch(const Snapshot& snapshot) {
  std::map<std::string, std::unique_ptr<Check>> next;
  for (const UpstreamPlan& plan : snapshot.upstreams) {
    if (!plan.health_check) continue;
    for (size_t i = 0; i < plan.endpoints.size(); ++i) {
      const std::string key = plan.name + " " + plan.endpoints[i].to_string();
      const auto found = checks_.find(key);
      const bool same = found != checks_.end() && found->second != nullptr &&
                        found->second->config == *plan.health_check &&
                        found->second->tls == plan.tls;
      if (same) {
        next[key] = std::move(found->second);
        continue;
      }
      auto check = std::make_unique<Check>(loop_, [this, key] { begin(*checks_.at(key)); });
      check->upstream = plan.name;
      check->address = plan.endpoints[i];
      check->tls = plan.tls;
      if (plan.tls != nullptr) check->server_name = plan.server_names[i];
      check->config = *plan.health_check;
      check->timer.arm(net::Millis{0});
      next[key] = std::move(check);
    }
  }
  checks_ = std::move(next);
}

std::vector<std::string> HealthChecker::failed() const {
  std::vector<std::string> keys;
  for (const auto& [key, check] : checks_) {
    if (check->failed) keys.push_back(key);
  }
  return keys;
}

void HealthChecker::begin(Check& check) {
  const auto connected = [this, &check](net::Result<std::unique_ptr<net::Stream>> stream) {
    loop_.retire(std::move(check.connector));
    if (is_our_own_want(stream)) return check.timer.arm(check.config.interval);
    done(check, stream.ok(), stream.ok() ? std::string() : stream.error().detail);
  };
  if (check.tls != nullptr) {
    check.connector = net::connect_tls(loop_, check.address, check.config.timeout, check.tls->get(),
                                       check.server_name, connected);
  } else if (check.config.path.empty()) {
    check.connector =
        net::Connector::connect(loop_, check.address, check.config.timeout, connected);
  } else {
    net::ClientRequest request;
    request.url = "http://" + check.address.to_string() + check.config.path;
    request.headers.emplace_back("user-agent", "hms-proxy health check");
    request.connect_timeout = request.timeout = check.config.timeout;
    request.max_reply_bytes = 1024 * 1024;
    check.call = client_->send(std::move(request), [this, &check](net::Result<net::ClientReply> r) {
      loop_.retire(std::move(check.call));
      if (is_our_own_want(r)) return check.timer.arm(check.config.interval);
      const bool well = r.ok() && r->status >= 200 && r->status < 400;
      done(check, well,
           well     ? std::string()
           : r.ok() ? "status " + std::to_string(r->status)
                    : r.error().detail);
    });
  }
}

void HealthChecker::done(Check& check, bool well, const std::string& why) {
  ++(well ? good : bad);
  check.good_in_a_row = well ? check.good_in_a_row + 1 : 0;
  check.bad_in_a_row = well ? 0 : check.bad_in_a_row + 1;
  check.timer.arm(check.config.interval);
  const bool out = !check.failed && check.bad_in_a_row >= check.config.unhealthy;
  const bool back = check.failed && check.good_in_a_row >= check.config.healthy;
  if (!out && !back) return;
  check.failed = out;
  const std::string endpoint = check.address.to_string();
  if (out)
    net::log_warn("health check failed",
                  {{"upstream", check.upstream}, {"endpoint", endpoint}, {"error", why}});
  else
    net::log_info("healthy again", {{"upstream", check.upstream}, {"endpoint", endpoint}});
  on_change_(failed());
}

}  // namespace hms::proxy
