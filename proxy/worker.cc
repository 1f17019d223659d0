#include "proxy/worker.h"

#include "net/io/tls_stream.h"

namespace hms::proxy {

ProxyWorker::ProxyWorker(size_t index, std::string proxy_tag, TracesInFlight& traces,
                         PortMemory& ports, OwnConnections& own_connections, SnapshotPtr snapshot)
    : worker_("proxy-" + std::to_string(index)) {
  worker_.call([&] {
    DataPath::Options options;
    options.proxy_tag = std::move(proxy_tag);
    options.traces = &traces;
    options.ports = &ports;
    options.own_connections = &own_connections;
    data_ = std::make_unique<DataPath>(worker_.loop(), std::move(options));
    worker_.keep_polling(snapshot->config.spin);
    data_->apply(std::move(snapshot));
  });
}

ProxyWorker::~ProxyWorker() {
  worker_.call([this] {
    listeners_.clear();
    data_->cut_all();
  });
  // A turn later what was retired is gone, and nothing names the data path any more.
  worker_.call([this] { data_.reset(); });
  worker_.stop_and_join();
}

net::Result<net::SocketAddress> ProxyWorker::listen(telemetry::Direction direction,
                                                    const net::SocketAddress& address,
                                                    bool reuse_port,
                                                    std::shared_ptr<net::TlsSource> tls) {
  net::Result<net::SocketAddress> bound = net::Error{};
  worker_.call([&] {
    net::AcceptOptions options;
    options.reuse_port = reuse_port;
    options.leaves_some_descriptors = true;
    options.defer_accept = data_->callers_speak_first(direction);
    auto acceptor = net::Acceptor::listen(
        worker_.loop(), address, options,
        [this, direction, tls](std::unique_ptr<net::Stream> stream) {
          if (tls != nullptr)
            stream = net::wrap_tls_server(worker_.loop(), std::move(stream), tls->get(),
                                          data_->config().timeouts.header);
          data_->accept(std::move(stream), direction);
          follow_protocol();
        });
    if (!acceptor.ok()) {
      bound = acceptor.error();
      return;
    }
    bound = (*acceptor)->local();
    listeners_.push_back({direction, std::move(acceptor).value(), options.defer_accept});
  });
  return bound;
}

void ProxyWorker::set_own_addresses(std::vector<net::SocketAddress> inbound,
                                    std::vector<net::SocketAddress> outbound) {
  worker_.call([&] { data_->set_own_addresses(std::move(inbound), std::move(outbound)); });
}

void ProxyWorker::apply(SnapshotPtr snapshot) {
  worker_.loop().post([this, snapshot = std::move(snapshot)]() mutable {
    worker_.keep_polling(snapshot->config.spin);
    data_->apply(std::move(snapshot));
    follow_protocol();
  });
}

void ProxyWorker::set_failed_checks(std::vector<std::string> addresses) {
  worker_.loop().post(
      [this, addresses = std::move(addresses)] { data_->set_failed_checks(addresses); });
}

void ProxyWorker::adopt_routes(LearnedRoutesPtr routes) {
  worker_.loop().post([this, routes = std::move(routes)] { data_->learner().adopt(*routes); });
}

void ProxyWorker::follow_protocol() {
  if (ending_) return;
  for (Listener& listener : listeners_) {
    const bool wanted = data_->callers_speak_first(listener.direction);
    if (wanted == listener.deferred) continue;
    listener.deferred = wanted;
    listener.acceptor->defer_accept(wanted);
  }
}

void ProxyWorker::report(Detail detail, std::function<void(std::unique_ptr<WorkerReport>)> tell) {
  worker_.loop().post([this, detail, tell = std::move(tell)] {
    follow_protocol();
    auto report = std::make_unique<WorkerReport>();
    report->counters = data_->counters();
    for (const Listener& listener : listeners_)
      report->counters.accept_pauses += listener.acceptor->accept_pauses();
    report->sessions = data_->sessions_open();
    report->routes_folded = data_->routes_folded();
    if (detail == Detail::everything) {
      report->endpoints = data_->endpoint_states();
      report->routes = data_->learned_routes();
    } else if (detail == Detail::delta) {
      report->delta = data_->flip();
      report->has_delta = true;
      report->routes_news = data_->learner().take_news();
    }
    tell(std::move(report));
  });
}

void ProxyWorker::begin_drain() {
  worker_.loop().post([this] { data_->begin_drain(); });
}

void ProxyWorker::ignore_new(telemetry::Direction direction) {
  worker_.loop().post([this, direction] {
    ending_ = true;
    for (const Listener& listener : listeners_) {
      if (listener.direction == direction) listener.acceptor->ignore_new();
    }
  });
}

void ProxyWorker::stop_accepting(telemetry::Direction direction) {
  worker_.loop().post([this, direction] {
    std::erase_if(listeners_, [direction](const Listener& l) { return l.direction == direction; });
  });
}

void ProxyWorker::close_idle_sessions(uint64_t quiet_millis) {
  worker_.loop().post([this, quiet_millis] { data_->close_idle_sessions(quiet_millis); });
}

size_t ProxyWorker::cut_all() {
  size_t cut = 0;
  worker_.call([&] { cut = data_->cut_all(); });
  return cut;
}

}  // namespace hms::proxy
