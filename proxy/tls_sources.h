// tls_sources.h: the certificates that a configuration names: each set opened once, watched on disk
// and kept over reloads.
//
// Owner: Sidecar. Thread: the main thread's; what it hands out may be used by any.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "net/io/tls_context.h"
#include "proxy/config/types.h"

namespace hms::proxy {

/// Opens what every `tls` block names, for `--check`: each file that is missing or wrong is a fault
/// at the block that wants it.
void check_tls(const Config& config, net::YamlErrors& errors);

class TlsSources {
 public:
  /// Without a loop (a check) nothing is watched.
  explicit TlsSources(net::Loop* loop) : loop_(loop) {}

  /// Opens what `config` names and is not open yet, lets go what it does not name. On an error
  /// (bad_config, with the file) nothing changes.
  net::Result<void> take(const Config& config);
  /// Of settings that `take` saw; null for none.
  [[nodiscard]] std::shared_ptr<net::TlsSource> find(
      const std::optional<net::TlsSettings>& settings) const;

 private:
  struct Entry {
    std::shared_ptr<net::TlsSource> source;
    std::shared_ptr<net::TlsWatch> watch;
  };
  [[nodiscard]] net::Result<Entry> open(const net::TlsSettings& settings) const;

  net::Loop* loop_;
  std::vector<Entry> entries_;
};

}  // namespace hms::proxy
