// fake_stream.h: a Stream without a socket, for unit tests and fuzzers: keeps what was written, and
// lets the test play the peer. It enforces the order that stream.h promises: nothing after
// on_closed, no bytes while paused.
#pragma once

#include <string>

#include "net/core/check.h"
#include "net/io/stream.h"

class FakeStream final : public hms::net::Stream {
 public:
  std::string written;
  size_t write_calls = 0;
  size_t queued = 0;          // what the test says is still in the queue
  size_t unacknowledged = 0;  // and what the peer's kernel has not seen yet
  bool keep_written = true;
  bool fin_sent = false;
  bool reset = false;
  bool open = true;  // what idle_and_open sees
  bool* destroyed = nullptr;
  int pauses = 1;

  explicit FakeStream(const std::string& peer = "127.0.0.1:9")
      : address_(*hms::net::SocketAddress::parse(peer)) {}
  ~FakeStream() override {
    if (destroyed != nullptr) *destroyed = true;
  }

  // The peer's side.
  void arrive(std::string_view bytes) {
    read_ += bytes.size();
    if (handler_ != nullptr && !closed_) handler_->on_bytes(bytes);
  }
  void arrive_eof() {
    if (handler_ != nullptr && !closed_) handler_->on_eof();
  }
  void arrive_closed(hms::net::Code code) {
    if (closed_) return;
    closed_ = true;
    auto* handler = handler_;
    handler_ = nullptr;
    if (handler != nullptr) handler->on_closed({code, hms::net::Side::upstream, false, "fake"});
  }
  void arrive_writable() {
    queued = 0;
    if (handler_ != nullptr && !closed_) handler_->on_writable();
  }
  [[nodiscard]] bool wants_bytes() const { return pauses == 0 && handler_ != nullptr && !closed_; }

  void set_handler(hms::net::StreamHandler* handler) override {
    handler_ = closed_ ? nullptr : handler;
  }
  void pause_reading() override { ++pauses; }
  void resume_reading() override {
    HMS_ENSURE(pauses > 0);
    --pauses;
  }
  using hms::net::Stream::write;
  void write(std::span<const std::string_view> slices) override {
    ++write_calls;
    for (const auto slice : slices) {
      bytes_ += slice.size();
      if (keep_written) written.append(slice);
    }
  }
  [[nodiscard]] size_t queued_bytes() const noexcept override { return queued; }
  void shutdown_write() override { fin_sent = true; }
  void mark_for_reset() override { reset = true; }
  [[nodiscard]] bool idle_and_open() noexcept override { return open && !closed_; }
  [[nodiscard]] const hms::net::SocketAddress& peer() const noexcept override { return address_; }
  [[nodiscard]] const hms::net::SocketAddress& local() const noexcept override { return address_; }
  [[nodiscard]] uint64_t bytes_read() const noexcept override { return read_; }
  [[nodiscard]] uint64_t bytes_written() const noexcept override { return bytes_; }
  [[nodiscard]] uint64_t bytes_acknowledged() noexcept override { return bytes_ - unacknowledged; }

 private:
  hms::net::SocketAddress address_;
  hms::net::StreamHandler* handler_ = nullptr;
  uint64_t read_ = 0, bytes_ = 0;
  bool closed_ = false;
};
