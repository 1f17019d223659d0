// line_writer.h: lines to a descriptor that never make a loop wait for whoever reads it.
//
// While the reader keeps up, a line is one write(2) in the caller's thread: nothing is lost when
// the program dies. When it does not (a full pipe), lines wait for a thread that does wait, at most
// kBacklogBytes of them; beyond, lines are dropped and counted, and a line says so when there is
// room again. A line of up to PIPE_BUF bytes leaves in one piece, so that several processes may
// share a pipe. Thread: any; one short mutex.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "net/core/clock.h"

namespace hms::net {

class LineWriter {
 public:
  static constexpr size_t kBacklogBytes = 1024 * 1024;

  /// `tell` makes the line that says how many were dropped.
  using Tell = std::string (*)(uint64_t dropped);
  LineWriter(int descriptor, Tell tell) : descriptor_(descriptor), tell_(tell) {}
  /// For tests: the program's writers live as long as it does.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  /// `line` ends in a newline.
  void write(std::string_view line);
  /// Waits until everything is written; false if that took longer.
  bool flush(Millis at_most);
  [[nodiscard]] uint64_t dropped() const;

 private:
  [[nodiscard]] bool may_write_now(size_t size) const noexcept;
  [[nodiscard]] size_t write_some(std::string_view text) const noexcept;
  void keep(std::string_view text);
  void drain();

  const int descriptor_;
  const Tell tell_;
  mutable std::mutex mutex_;
  std::condition_variable more_, written_;
  // guarded by mutex_
  std::string backlog_;
  uint64_t dropped_ = 0, told_ = 0;
  bool running_ = false;   // the thread
  bool draining_ = false;  // it writes what it took from the backlog
  bool ending_ = false;
};

}  // namespace hms::net
