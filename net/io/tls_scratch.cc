#include "net/io/tls_scratch.h"

#include <cstring>

namespace hms::net {

TlsScratch& TlsScratch::of(Loop& loop) {
  auto& place = loop.impl().tls;
  if (place == nullptr) place = std::make_shared<TlsScratch>(loop);
  return *static_cast<TlsScratch*>(place.get());
}

void TlsScratch::append_cipher(std::string_view bytes, Stream& inner) {
  if (bytes.size() > cipher_.size() - cipher_size_) flush_cipher(inner);
  if (bytes.size() > cipher_.size()) {
    inner.write(bytes);
    return;
  }
  std::memcpy(cipher_.data() + cipher_size_, bytes.data(), bytes.size());
  cipher_size_ += bytes.size();
}

void TlsScratch::flush_cipher(Stream& inner) {
  if (cipher_size_ == 0) return;
  inner.write(cipher());
  cipher_size_ = 0;
}

void TlsScratch::touch(TlsWarm& stream) noexcept {
  stream.used_millis_ = loop_.now_millis();
  if (&stream == warmest_) return;
  if (stream.listed_) forget(stream);
  stream.listed_ = true;
  stream.colder_ = warmest_;
  (warmest_ == nullptr ? coldest_ : warmest_->warmer_) = &stream;
  warmest_ = &stream;
  if (++warm_ > kMostWarm) {
    TlsWarm& coldest = *coldest_;
    forget(coldest);
    coldest.release_buffers();
  }
  if (!sweep_timer_.armed()) sweep_timer_.arm(kRest);
}

void TlsScratch::forget(TlsWarm& stream) noexcept {
  if (!stream.listed_) return;
  (stream.colder_ == nullptr ? coldest_ : stream.colder_->warmer_) = stream.warmer_;
  (stream.warmer_ == nullptr ? warmest_ : stream.warmer_->colder_) = stream.colder_;
  stream.colder_ = stream.warmer_ = nullptr;
  stream.listed_ = false;
  --warm_;
}

void TlsScratch::sweep() {
  const uint64_t now = loop_.now_millis();
  while (coldest_ != nullptr &&
         now - coldest_->used_millis_ >= static_cast<uint64_t>(kRest.count())) {
    TlsWarm& cold = *coldest_;
    forget(cold);
    cold.release_buffers();
  }
  if (coldest_ != nullptr) sweep_timer_.arm(kRest);
}

}  // namespace hms::net
