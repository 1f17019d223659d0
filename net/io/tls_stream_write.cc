// What a TLS stream sends: records from the owner's slices, the ticket that waits for the first of
// them, and close_notify.
#include <algorithm>
#include <cstring>

#include "net/io/tls_stream_impl.h"

namespace hms::net {

void OpensslTlsStream::encrypt(std::span<const std::string_view> slices) {
  if (!carry_.empty()) flush_carry();
  forget_tls_errors();
  auto& gather = wire_.scratch.gather;
  size_t gathered = 0;
  bool good = true;
  for (std::string_view slice : slices) {
    while (good && !slice.empty()) {
      size_t taken = 0;
      if (gathered == 0 && (slice.size() >= gather.size() || slices.size() == 1)) {
        // Whole records straight from where the bytes lie.
        taken = std::min<size_t>(slice.size(), 1U << 30);
        if (slices.size() > 1) taken -= taken % gather.size();
        good = write_record(slice.substr(0, taken));
      } else {
        taken = std::min(slice.size(), gather.size() - gathered);
        std::memcpy(gather.data() + gathered, slice.data(), taken);
        gathered += taken;
        if (gathered == gather.size()) {
          good = write_record({gather.data(), gathered});
          gathered = 0;
        }
      }
      slice.remove_prefix(taken);
    }
  }
  if (good && gathered > 0) write_record({gather.data(), gathered});
  wire_.flush();
  if (!processing_) wire_.scratch.touch(*this);
}

bool OpensslTlsStream::write_record(std::string_view bytes) {
  if (SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0) return true;
  fail_later(Code::tls, openssl_reason());
  return false;
}

/// The ticket goes first: it was encrypted first.
void OpensslTlsStream::flush_carry() {
  wire_.scratch.append_cipher(carry_, *wire_.inner);
  carry_ = std::string();
}

/// What reading made OpenSSL write goes out behind a ticket that still waits.
void OpensslTlsStream::flush_after_carry() {
  if (!carry_.empty()) {
    wire_.inner->write(carry_);
    carry_ = std::string();
  }
  wire_.flush();
}

void OpensslTlsStream::send_close_notify() {
  if (!carry_.empty()) flush_carry();
  forget_tls_errors();
  SSL_shutdown(ssl_.get());
  wire_.flush();
  wire_.inner->shutdown_write();
  check_both_ended();
}

}  // namespace hms::net
