#include "net/http/client_exchange.h"

#include <algorithm>
#include <array>
#include <utility>

#include "net/http/characters.h"
#include "net/http/reply_text.h"

namespace hms::net {
namespace {

constexpr size_t kMaxAddresses = 8;

Error upstream_error(Code code, bool may_retry, std::string detail) {
  return Error{code, Side::upstream, may_retry, std::move(detail)};
}

std::string host_field(const Url& url) {
  const bool v6 = url.host.find(':') != std::string::npos;
  std::string text = v6 ? "[" + url.host + "]" : url.host;
  if (url.port != (url.tls ? 443 : 80)) text += ":" + std::to_string(url.port);
  return text;
}

}  // namespace

Result<TlsContextPtr> ClientTls::context() {
  if (source == nullptr) {
    auto opened = TlsSource::open(
        TlsSettings{.role = TlsRole::client, .verify = TlsVerify::required, .alpn = {"http/1.1"}});
    if (!opened) return std::move(opened).error();
    source = std::move(opened).value();
  }
  return source->get();
}

ClientExchange::ClientExchange(Loop& loop, ClientPool& pool, ClientTls& tls, ClientRequest request,
                               StreamCallbacks callbacks,
                               std::function<void(ClientExchange*)> on_finished)
    : loop_(loop),
      pool_(pool),
      tls_(tls),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      on_finished_(std::move(on_finished)),
      url_(parse_url(request_.url)),
      codec_(H1Codec::Kind::response, HttpLimits()),
      start_timer_(loop, [this] { go(); }),
      connect_timer_(
          loop,
          [this] {
            lost(upstream_error(Code::connect_timeout, true,
                                origin_ + ": no connection within " +
                                    std::to_string(request_.connect_timeout.count()) + " ms"));
          }),
      total_timer_(loop, [this] { on_timeout(); }) {}

ClientExchange::~ClientExchange() = default;

void ClientExchange::begin() {
  start_timer_.arm(Millis{0});
  if (request_.timeout.count() > 0) total_timer_.arm(request_.timeout);
}

void ClientExchange::cancel() {
  if (finished_) return;
  silenced_ = true;  // not by clearing the callbacks: one of them may be what is running
  finish(Error{Code::canceled, Side::self, false, "canceled"});
}

void ClientExchange::go() {
  if (!url_) {
    finish(url_.error());
    return;
  }
  if (url_->tls) {
    auto context = tls_.context();
    if (!context) {
      finish(std::move(context).error());
      return;
    }
    tls_context_ = std::move(context).value();
  }
  if (!is_token(request_.method) || request_.method == "CONNECT") {
    finish(Error{Code::unsupported, Side::self, false, "method " + request_.method});
    return;
  }
  origin_ = host_field(*url_);
  pool_key_ = (url_->tls ? "https://" : "http://") + origin_;
  if (auto pooled = pool_.take(pool_key_)) {
    use(std::move(pooled), true);
  } else {
    resolve();
  }
}

void ClientExchange::resolve() {
  connect_until_ = loop_.now_millis() + static_cast<uint64_t>(request_.connect_timeout.count());
  connect_timer_.arm(request_.connect_timeout);
  resolver_ = Resolver::resolve(
      loop_, HostPort{url_->host, url_->port}, [this](Result<std::vector<SocketAddress>> found) {
        loop_.retire(std::move(resolver_));
        if (!found) {
          lost(std::move(found).error());
          return;
        }
        addresses_ = std::move(found).value();
        if (addresses_.size() > kMaxAddresses) {
          addresses_.resize(kMaxAddresses);
        }
        next_address_ = 0;
        connect_next(upstream_error(Code::resolve_failed, false, url_->host + ": no address"));
      });
}

/// Tries the next address; after the last one the fault of that one is told.
void ClientExchange::connect_next(Error last_error) {
  const uint64_t now = loop_.now_millis();
  if (next_address_ >= addresses_.size() || now >= connect_until_) {
    lost(std::move(last_error));
    return;
  }
  const SocketAddress address = addresses_[next_address_++];
  const Millis left{static_cast<int64_t>(connect_until_ - now)};
  const auto on_connected = [this](Result<std::unique_ptr<Stream>> connected) {
    on_connect(std::move(connected));
  };
  connector_ = tls_context_ == nullptr
                   ? Connector::connect(loop_, address, left, on_connected)
                   : connect_tls(loop_, address, left, tls_context_, url_->host, on_connected);
}

void ClientExchange::on_connect(Result<std::unique_ptr<Stream>> connected) {
  loop_.retire(std::move(connector_));
  if (connected) {
    use(std::move(connected).value(), false);
  } else {
    connect_next(std::move(connected).error());
  }
}

void ClientExchange::use(std::unique_ptr<Stream> stream, bool reused) {
  connect_timer_.disarm();
  stream_ = std::move(stream);
  reused_ = reused;
  codec_ = H1Codec(H1Codec::Kind::response, HttpLimits());
  codec_.expect_reply_to(request_.method);
  stream_->set_handler(this);
  const std::string head = request_text();
  const std::array<std::string_view, 2> slices = {head, request_.body};
  stream_->write(slices);
  stream_->resume_reading();
}

std::string ClientExchange::request_text() const {
  std::string text;
  text.reserve(256);
  text.append(request_.method).append(" ").append(url_->path_and_query).append(" HTTP/1.1\r\n");
  append_field(text, "Host", origin_);
  for (const auto& [name, value] : request_.headers) {
    const KnownHeader known = known_header(name);
    const bool ours = known == KnownHeader::host || known == KnownHeader::content_length ||
                      known == KnownHeader::connection || known == KnownHeader::transfer_encoding;
    if (!ours) append_field(text, name, value);
  }
  const bool may_lack_body = request_.method == "GET" || request_.method == "HEAD" ||
                             request_.method == "DELETE" || request_.method == "OPTIONS";
  if (!request_.body.empty() || !may_lack_body) {
    append_field(text, "Content-Length", std::to_string(request_.body.size()));
  }
  text.append("\r\n");
  return text;
}

// === the reply

void ClientExchange::on_bytes(std::string_view bytes) {
  saw_reply_ = true;
  read(bytes, false);
}

void ClientExchange::on_eof() { read({}, true); }

void ClientExchange::on_closed(const Error& error) { lost(error); }

void ClientExchange::read(std::string_view input, bool at_eof) {
  while (!finished_) {
    const H1Codec::Step step = codec_.next(input);
    if (step == H1Codec::Step::need_more) break;
    if (step == H1Codec::Step::end && codec_.head().status >= 200) {
      complete(keep_alive_ && !at_eof && input.empty());
      return;
    }
    if (!take_step(step)) return;
  }
  if (finished_ || !at_eof) return;
  if (codec_.finish() == H1Codec::Step::end) {
    complete(false);
  } else {
    lost(upstream_error(Code::closed, !saw_reply_,
                        origin_ + ": the connection ended before the reply was complete"));
  }
}

/// False when the exchange is over.
bool ClientExchange::take_step(H1Codec::Step step) {
  switch (step) {
    case H1Codec::Step::head:
      return codec_.head().status < 200 || tell_head();
    case H1Codec::Step::body:
      received_bytes_ += codec_.body().size();
      if (received_bytes_ > request_.max_reply_bytes) {
        finish(upstream_error(Code::too_large, false,
                              origin_ + ": the reply is larger than " +
                                  std::to_string(request_.max_reply_bytes) + " bytes"));
        return false;
      }
      if (callbacks_.on_data) callbacks_.on_data(codec_.body());
      return !finished_;
    case H1Codec::Step::end:
      codec_.next_message();  // 1xx: the final reply follows
      return true;
    case H1Codec::Step::upgrade:
      finish(upstream_error(Code::unsupported, false, origin_ + ": answered with an upgrade"));
      return false;
    case H1Codec::Step::failed:
      finish(upstream_error(
          Code::bad_message, false,
          origin_ + ": the reply breaks a rule of HTTP: " + std::string(codec_.fault().site)));
      return false;
    case H1Codec::Step::trailers:
    case H1Codec::Step::need_more:
      return true;
  }
  return true;
}

bool ClientExchange::tell_head() {
  const MessageHead& head = codec_.head();
  keep_alive_ = head.keep_alive;
  if (!callbacks_.on_head) return true;
  Headers headers;
  headers.reserve(head.field_count);
  for (uint16_t i = 0; i < head.field_count; ++i) {
    headers.emplace_back(head.name(head.fields[i]), head.value(head.fields[i]));
  }
  callbacks_.on_head(head.status, headers);
  return !finished_;
}

// === ends

/// The connection failed. A reused one that said nothing was stale: once more, on a fresh one.
void ClientExchange::lost(Error error) {
  if (finished_) return;
  if (reused_ && !saw_reply_ && !resent_ && stream_ != nullptr) {
    resent_ = true;
    reused_ = false;
    stream_->set_handler(nullptr);
    loop_.retire(std::move(stream_));
    resolve();
    return;
  }
  finish(std::move(error));
}

void ClientExchange::on_timeout() {
  finish(upstream_error(Code::timeout, false,
                        (origin_.empty() ? request_.url : origin_) + ": no complete reply within " +
                            std::to_string(request_.timeout.count()) + " ms"));
}

void ClientExchange::complete(bool reusable) {
  if (reusable && stream_->queued_bytes() == 0) pool_.give(pool_key_, std::move(stream_));
  finish({});
}

void ClientExchange::finish(Result<void> outcome) {
  if (finished_) return;
  finished_ = true;
  start_timer_.disarm();
  connect_timer_.disarm();
  total_timer_.disarm();
  if (stream_ != nullptr) stream_->set_handler(nullptr);
  if (resolver_ != nullptr) loop_.retire(std::move(resolver_));
  if (connector_ != nullptr) loop_.retire(std::move(connector_));
  // Last act: from here on the client has forgotten us, and `this` lives until the end of the turn.
  auto on_end = std::move(callbacks_.on_end);
  on_finished_(this);
  if (on_end && !silenced_) on_end(std::move(outcome));
}

}  // namespace hms::net
