#include "net/io/write_queue.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "net/core/check.h"

namespace hms::net {

ChunkPool::~ChunkPool() {
  while (free_ != nullptr) {
    Chunk* const next = free_->next;
    delete free_;
    free_ = next;
  }
}

Chunk* ChunkPool::take() {
  if (free_ == nullptr) return new Chunk;
  Chunk* const chunk = free_;
  free_ = chunk->next;
  --kept_;
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  return chunk;
}

void ChunkPool::give_back(Chunk* chunk) noexcept {
  if (kept_ >= kMostKept) {
    delete chunk;
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++kept_;
}

WriteQueue::~WriteQueue() {
  while (first_ != nullptr) {
    Chunk* const next = first_->next;
    pool_.give_back(first_);
    first_ = next;
  }
}

void WriteQueue::append(std::string_view bytes) {
  while (!bytes.empty()) {
    if (last_ == nullptr || last_->end == Chunk::kBytes) {
      Chunk* const chunk = pool_.take();
      (last_ == nullptr ? first_ : last_->next) = chunk;
      last_ = chunk;
    }
    const size_t taken = std::min(bytes.size(), Chunk::kBytes - last_->end);
    std::memcpy(last_->bytes + last_->end, bytes.data(), taken);
    last_->end += taken;
    waiting_bytes_ += taken;
    bytes.remove_prefix(taken);
  }
}

int WriteQueue::submit(uv_stream_t* stream, uv_write_cb on_written) {
  HMS_ENSURE(in_flight_bytes_ == 0 && waiting_bytes_ > 0);
  std::array<uv_buf_t, kChunksPerWrite> buffers{};
  unsigned count = 0;
  size_t bytes = 0;
  for (Chunk* chunk = first_; chunk != nullptr && count < kChunksPerWrite; chunk = chunk->next) {
    const size_t length = chunk->end - chunk->begin;
    buffers[count++] = uv_buf_init(chunk->bytes + chunk->begin, static_cast<unsigned>(length));
    bytes += length;
  }
  const int status = uv_write(&request_, stream, buffers.data(), count, on_written);
  if (status != 0) return status;
  in_flight_bytes_ = bytes;
  waiting_bytes_ -= bytes;
  return 0;
}

void WriteQueue::release_in_flight() noexcept {
  size_t left = in_flight_bytes_;
  in_flight_bytes_ = 0;
  while (left > 0) {
    Chunk* const chunk = first_;
    const size_t taken = std::min(left, chunk->end - chunk->begin);
    chunk->begin += taken;
    left -= taken;
    if (chunk->begin < chunk->end) break;  // bytes were appended behind those in flight
    first_ = chunk->next;
    if (first_ == nullptr) last_ = nullptr;
    pool_.give_back(chunk);
  }
}

}  // namespace hms::net
