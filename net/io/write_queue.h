// write_queue.h: the unsent rest of a stream, in recycled chunks. Private to net/io.
//
// Exists only while a socket takes less than it is given: an idle connection holds none of this.
// Chunks come from the loop's pool and go back to it.
#pragma once

#include <uv.h>

#include <cstddef>
#include <memory>
#include <string_view>

namespace hms::net {

struct Chunk {
  static constexpr size_t kBytes = 16 * 1024 - 32;
  Chunk* next = nullptr;
  size_t begin = 0;
  size_t end = 0;
  char bytes[kBytes];
};

/// Free chunks of one loop. Keeps at most 64 (1 MiB); the rest is freed.
class ChunkPool {
 public:
  ChunkPool() = default;
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  [[nodiscard]] Chunk* take();
  void give_back(Chunk* chunk) noexcept;

 private:
  static constexpr size_t kMostKept = 64;
  Chunk* free_ = nullptr;
  size_t kept_ = 0;
};

/// A first-in-first-out list of bytes, of which a prefix (at most 4 chunks) may be in the hands of
/// libuv.
class WriteQueue {
 public:
  explicit WriteQueue(ChunkPool& pool) : pool_(pool) {}
  ~WriteQueue();
  WriteQueue(const WriteQueue&) = delete;
  WriteQueue& operator=(const WriteQueue&) = delete;

  void append(std::string_view bytes);
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] bool in_flight() const noexcept { return in_flight_bytes_ > 0; }
  /// Bytes that were not given to libuv yet.
  [[nodiscard]] size_t waiting_bytes() const noexcept { return waiting_bytes_; }
  [[nodiscard]] size_t in_flight_bytes() const noexcept { return in_flight_bytes_; }

  /// Gives the first chunks to libuv. Not while something is in flight. A negative result is
  /// libuv's error.
  int submit(uv_stream_t* stream, uv_write_cb on_written);
  /// What was in flight is sent (or lost).
  void release_in_flight() noexcept;

 private:
  static constexpr unsigned kChunksPerWrite =
      4;  // what uv_write_t takes without a heap block of its own
  ChunkPool& pool_;
  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  size_t waiting_bytes_ = 0;
  size_t in_flight_bytes_ = 0;
  uv_write_t request_{};
};

}  // namespace hms::net
