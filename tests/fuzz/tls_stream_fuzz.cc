// tls_stream_fuzz.cc: hostile bytes in place of a TLS caller: first byte says how they are cut and
// when the connection ends; whatever comes, the stream ends in order and writes a bounded amount.
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "net/core/check.h"
#include "net/io/tls_stream.h"
#include "tests/support/tls_certificates.h"

namespace {

using namespace hms::net;  // NOLINT: a test

/// The connection under TLS: hands over the fuzzer's bytes.
class FuzzedStream final : public Stream {
 public:
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void pause_reading() override { ++pauses_; }
  void resume_reading() override { --pauses_; }
  using Stream::write;
  void write(std::span<const std::string_view> slices) override {
    for (const auto slice : slices) written_ += slice.size();
    HMS_ENSURE(written_ < 1'000'000);
  }
  [[nodiscard]] size_t queued_bytes() const noexcept override { return 0; }
  void shutdown_write() override {}
  void mark_for_reset() override {}
  [[nodiscard]] bool idle_and_open() noexcept override { return true; }
  [[nodiscard]] const SocketAddress& peer() const noexcept override { return address_; }
  [[nodiscard]] const SocketAddress& local() const noexcept override { return address_; }
  [[nodiscard]] uint64_t bytes_read() const noexcept override { return 0; }
  [[nodiscard]] uint64_t bytes_written() const noexcept override { return written_; }

  /// False when nobody wants bytes.
  bool give(std::string_view bytes) {
    if (handler_ == nullptr || pauses_ > 0) return false;
    handler_->on_bytes(bytes);
    return true;
  }
  void end() {
    if (handler_ != nullptr && pauses_ <= 0) handler_->on_eof();
  }

 private:
  StreamHandler* handler_ = nullptr;
  int pauses_ = 1;
  uint64_t written_ = 0;
  SocketAddress address_;
};

struct Ends final : StreamHandler {
  void on_bytes(std::string_view) override { HMS_ENSURE(closed == 0); }
  void on_eof() override { HMS_ENSURE(closed == 0); }
  void on_closed(const Error& error) override {
    HMS_ENSURE(!error.detail.empty());
    ++closed;
    HMS_ENSURE(closed == 1);
  }
  int closed = 0;
};

TlsContextPtr make_context() {
  char folder[] = "/tmp/hms-fuzz-XXXXXX";
  if (mkdtemp(folder) == nullptr) abort();
  hms::test::Authority authority(folder, "fuzz");
  const auto leaf = authority.issue("leaf");
  auto made = TlsContext::make({.role = TlsRole::server,
                                .certificate_file = leaf.certificate_file,
                                .key_file = leaf.key_file,
                                .ca_file = authority.file(),
                                .verify = TlsVerify::required,
                                .alpn = {"http/1.1"}});
  HMS_ENSURE(made.ok());
  for (const std::string& file : {leaf.certificate_file, leaf.key_file, authority.file()})
    unlink(file.c_str());
  rmdir(folder);
  return std::move(made).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TlsContextPtr context = make_context();
  static Loop loop;
  if (size == 0) return 0;
  const size_t step = data[0] % 64 == 0 ? size : data[0] % 64 * 8;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);

  auto inner = std::make_unique<FuzzedStream>();
  FuzzedStream* const peer = inner.get();
  Ends ends;
  auto stream = wrap_tls_server(loop, std::move(inner), context);
  stream->set_handler(&ends);
  stream->resume_reading();
  stream->write("hello");
  while (!rest.empty() && peer->give(rest.substr(0, step)))
    rest.remove_prefix(std::min(step, rest.size()));
  if (ends.closed == 0) peer->end();
  if ((data[0] & 64) != 0) stream->shutdown_write();
  HMS_ENSURE(!stream->established());  // no bytes of chance shake hands
  return 0;
}
