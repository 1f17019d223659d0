// tunnels.h: a worker's connections that are not, or no longer, HTTP: who owns them, and what they
// add up to.
//
// They count as connections (limits.connections) and keep a drain waiting until its deadline, as
// requests do. Thread: the worker's. Owner: DataPath.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/splice.h"

namespace hms::proxy {

class DataPath;

class Tunnels {
 public:
  explicit Tunnels(DataPath& data);
  ~Tunnels();

  [[nodiscard]] DataPath& data() noexcept { return data_; }
  [[nodiscard]] size_t open() const noexcept { return splices_.size(); }
  /// Ties the two sides together. What either had sent for the other before goes first.
  void splice(SpliceStart start, std::string_view from_caller, std::string_view from_service);
  /// Resets everything; returns how many there were.
  size_t cut_all();

  // For what is owned here.
  void remove(Splice& splice, TunnelEnd end);

 private:
  DataPath& data_;
  std::vector<std::unique_ptr<Splice>> splices_;
};

}  // namespace hms::proxy
