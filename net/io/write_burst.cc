#include "net/io/write_burst.h"

#include <cstring>
#include <utility>

#include "net/io/tcp_stream.h"

namespace hms::net {

bool WriteBurst::hold(TcpStream& stream, std::span<const std::string_view> slices, size_t total) {
  if (!holding_ || total > kMostBytes) return false;
  if (count_ == kMostWrites || used_ + total > kRoom) send();
  if (bytes_ == nullptr) bytes_ = std::make_unique_for_overwrite<char[]>(kRoom);
  held_[count_++] = {&stream, used_, total};
  for (const std::string_view slice : slices) {
    if (slice.empty()) continue;
    std::memcpy(bytes_.get() + used_, slice.data(), slice.size());
    used_ += slice.size();
  }
  return true;
}

/// Calls no handler: faults are told in a later turn.
void WriteBurst::send() {
  const size_t count = std::exchange(count_, 0);
  used_ = 0;
  for (size_t i = 0; i < count; ++i)
    held_[i].stream->send_held({bytes_.get() + held_[i].begin, held_[i].size});
}

}  // namespace hms::net
