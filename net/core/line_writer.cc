#include "net/core/line_writer.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

namespace hms::net {

LineWriter::~LineWriter() {
  std::unique_lock lock(mutex_);
  ending_ = true;
  more_.notify_all();
  written_.wait(lock, [this] { return !running_; });
}

void LineWriter::write(std::string_view line) {
  const std::lock_guard lock(mutex_);
  if (backlog_.empty() && !draining_ && may_write_now(line.size()))
    line.remove_prefix(write_some(line));
  if (!line.empty()) keep(line);
}

void LineWriter::keep(std::string_view text) {
  if (backlog_.size() + text.size() > kBacklogBytes) {
    ++dropped_;
    return;
  }
  backlog_ += text;
  if (!running_) {
    running_ = true;
    std::thread([this] { drain(); }).detach();
  }
  more_.notify_one();
}

bool LineWriter::flush(Millis at_most) {
  std::unique_lock lock(mutex_);
  return written_.wait_for(lock, at_most, [this] { return backlog_.empty() && !draining_; });
}

uint64_t LineWriter::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

/// A pipe that is ready takes PIPE_BUF bytes at once, a file anything.
bool LineWriter::may_write_now(size_t size) const noexcept {
  if (size > PIPE_BUF) {
    struct stat found {};
    return fstat(descriptor_, &found) == 0 && S_ISREG(found.st_mode);
  }
  pollfd ready{descriptor_, POLLOUT, 0};
  return ::poll(&ready, 1, 0) == 1;
}

/// How much is done with: written, or given up because nobody can ever read it.
size_t LineWriter::write_some(std::string_view text) const noexcept {
  size_t done = 0;
  while (done < text.size()) {
    // A socket (systemd's journal) that is ready may take less than all.
    ssize_t count =
        ::send(descriptor_, text.data() + done, text.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == ENOTSOCK)
      count = ::write(descriptor_, text.data() + done, text.size() - done);
    if (count >= 0) {
      done += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      return done;
    } else if (errno != EINTR) {
      return text.size();  // nowhere to complain to
    }
  }
  return done;
}

void LineWriter::drain() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return ending_ || !backlog_.empty(); });
    if (ending_) break;
    std::string taken = std::exchange(backlog_, std::string());
    draining_ = true;
    lock.unlock();
    for (std::string_view rest = taken; !rest.empty();) {
      // Whole lines, as many as leave in one piece.
      const size_t first = rest.find('\n');
      const size_t last = rest.substr(0, PIPE_BUF).rfind('\n');
      const size_t size = std::min(last != std::string_view::npos ? last : first, rest.size() - 1);
      std::string_view piece = rest.substr(0, size + 1);
      rest.remove_prefix(piece.size());
      while (!piece.empty()) {
        pollfd ready{descriptor_, POLLOUT, 0};
        constexpr int kLookMillis = 100;  // for the end
        if (::poll(&ready, 1, kLookMillis) == 1) piece.remove_prefix(write_some(piece));
        const std::lock_guard again(mutex_);
        if (ending_) piece = rest = {};
      }
    }
    lock.lock();
    draining_ = false;
    if (dropped_ > told_ && backlog_.empty()) {
      backlog_ = tell_(dropped_ - told_);
      told_ = dropped_;
      continue;
    }
    if (backlog_.empty()) written_.notify_all();
  }
  running_ = draining_ = false;
  written_.notify_all();
}

}  // namespace hms::net
