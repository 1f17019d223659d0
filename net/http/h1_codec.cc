#include "net/http/h1_codec.h"

#include "net/http/h1_codec_impl.h"

namespace hms::net {

H1Codec::H1Codec(Kind kind, const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(kind, limits)) {}
H1Codec::~H1Codec() = default;
H1Codec::H1Codec(H1Codec&&) noexcept = default;
H1Codec& H1Codec::operator=(H1Codec&&) noexcept = default;

H1Codec::Step H1Codec::next(std::string_view& input) { return impl_->next(input); }
H1Codec::Step H1Codec::finish() { return impl_->finish(); }

const MessageHead& H1Codec::head() const noexcept { return impl_->head; }
std::string_view H1Codec::body() const noexcept { return impl_->body; }
std::string_view H1Codec::trailers() const noexcept { return impl_->trailers; }
const HttpFault& H1Codec::fault() const noexcept { return impl_->fault; }

void H1Codec::start_over(const HttpLimits& limits) { impl_->start_over(limits); }
void H1Codec::keep_head() { impl_->keep_head(); }
void H1Codec::next_message() { impl_->next_message(); }

void H1Codec::expect_reply_to(std::string_view method) noexcept {
  impl_->answers = method == "HEAD"      ? RequestKind::head
                   : method == "CONNECT" ? RequestKind::connect
                                         : RequestKind::ordinary;
}

bool H1Codec::at_message_start() const noexcept {
  return impl_->state == Impl::State::start || impl_->state == Impl::State::closed;
}

void H1Codec::release_buffers() noexcept {
  if (!at_message_start()) return;
  impl_->buffer = std::string();
  impl_->trailers = std::string();
}

}  // namespace hms::net
