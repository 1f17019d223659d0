// client_pool.h: idle connections of the small client, per origin. LIFO, at most 4 each and 256 in
// all, 30 s.
//
// An idle connection that says anything, or ends, is thrown away at once. Thread: the loop's.
// Private to net/http.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/io/loop.h"
#include "net/io/stream.h"
#include "net/io/timer_wheel.h"

namespace hms::net {

class ClientPool {
 public:
  static constexpr size_t kPerOrigin = 4;
  static constexpr size_t kInAll = 256;
  static constexpr Millis kIdleTime{30'000};

  explicit ClientPool(Loop& loop);
  ~ClientPool();

  /// The connection used last that is still open, or nothing. Its reading is paused.
  std::unique_ptr<Stream> take(const std::string& origin);
  /// `stream`: reading not paused, nothing left to read or write.
  void give(const std::string& origin, std::unique_ptr<Stream> stream);
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  class Idle;
  void remove(Idle* idle);
  void sweep();

  Loop& loop_;
  std::map<std::string, std::vector<std::unique_ptr<Idle>>> idle_;
  size_t size_ = 0;
  Timer sweep_timer_;
};

}  // namespace hms::net
