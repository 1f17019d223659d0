#include "net/io/signals.h"

#include <uv.h>

#include <array>
#include <csignal>
#include <utility>

#include "net/core/check.h"

namespace hms::net {
namespace {

class UvSignals final : public Signals {
 public:
  UvSignals(Loop& loop, Handlers handlers) : handlers_(std::move(handlers)) {
    constexpr std::array kNumbers{SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < kNumbers.size(); ++i) {
      nodes_[i] = new uv_signal_t;
      HMS_ENSURE(uv_signal_init(loop.raw(), nodes_[i]) == 0);
      nodes_[i]->data = this;
      HMS_ENSURE(uv_signal_start(nodes_[i], on_signal, kNumbers[i]) == 0);
    }
  }

  ~UvSignals() override {
    for (uv_signal_t* const node : nodes_) {
      node->data = nullptr;
      uv_close(reinterpret_cast<uv_handle_t*>(node),
               [](uv_handle_t* handle) { delete reinterpret_cast<uv_signal_t*>(handle); });
    }
  }

 private:
  static void on_signal(uv_signal_t* node, int number) {
    auto* const self = static_cast<UvSignals*>(node->data);
    if (self == nullptr) return;
    // A copy: the handler may destroy this.
    const auto handler =
        number == SIGHUP ? self->handlers_.on_reload : self->handlers_.on_terminate;
    if (handler) handler();
  }

  Handlers handlers_;
  std::array<uv_signal_t*, 3> nodes_{};  // freed by their close callbacks
};

}  // namespace

void ignore_sigpipe() noexcept { std::signal(SIGPIPE, SIG_IGN); }

std::unique_ptr<Signals> Signals::install(Loop& loop, Handlers handlers) {
  return std::make_unique<UvSignals>(loop, std::move(handlers));
}

}  // namespace hms::net
