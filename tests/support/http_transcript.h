// http_transcript.h: what a codec says about a stream of bytes, as text, so that tests can compare
// two ways of feeding the same bytes.
//
// Pieces of a body are joined: where a body is cut depends on the reads, everything else must not.
// Used by unit tests and fuzzers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http/h1_codec.h"

namespace hms::net {

class HttpTranscript {
 public:
  HttpTranscript(H1Codec::Kind kind, const HttpLimits& limits, std::string_view reply_to = {})
      : codec_(kind, limits), reply_to_(reply_to) {
    codec_.expect_reply_to(reply_to_);
  }

  /// One read. The bytes are copied to a place of their own, so that a sanitizer sees every look at
  /// an old read.
  void feed(std::string_view bytes) {
    if (tunnel_) tunnel_bytes_.append(bytes);
    if (over_) return;
    const std::unique_ptr<char[]> read(new char[bytes.size()]);
    if (!bytes.empty()) std::memcpy(read.get(), bytes.data(), bytes.size());
    std::string_view input(read.get(), bytes.size());
    while (!over_) {
      const H1Codec::Step step = codec_.next(input);
      if (step == H1Codec::Step::need_more) break;
      note(step);
    }
    if (tunnel_) tunnel_bytes_.append(input);
  }

  /// The end of the stream; returns everything that was said.
  std::string finish() {
    if (!over_) {
      // A step may still wait; `finish` gives them one by one.
      for (int i = 0; i < 4 && !over_; ++i) {
        const H1Codec::Step step = codec_.finish();
        if (step == H1Codec::Step::need_more) break;
        note(step);
      }
    }
    flush_body();
    if (tunnel_) text_ += "tunnel[" + tunnel_bytes_ + "]\n";
    return text_;
  }

  [[nodiscard]] const H1Codec& codec() const { return codec_; }
  /// Called at each head, while it is valid.
  std::function<void(const MessageHead&)> on_head;

 private:
  void flush_body() {
    if (in_body_) text_ += "body[" + body_ + "]\n";
    body_.clear();
    in_body_ = false;
  }

  void note(H1Codec::Step step) {
    if (step != H1Codec::Step::body) flush_body();
    switch (step) {
      case H1Codec::Step::head:
        note_head();
        break;
      case H1Codec::Step::body:
        in_body_ = true;
        body_.append(codec_.body());
        break;
      case H1Codec::Step::trailers:
        text_ += "trailers[" + std::string(codec_.trailers()) + "]\n";
        break;
      case H1Codec::Step::end:
        text_ += "end\n";
        codec_.next_message();
        break;
      case H1Codec::Step::upgrade:
        text_ += "upgrade\n";
        over_ = tunnel_ = true;
        break;
      case H1Codec::Step::failed:
        text_ += "failed " + std::to_string(codec_.fault().status) + " " +
                 std::string(codec_.fault().site) + "\n";
        over_ = true;
        break;
      case H1Codec::Step::need_more:
        break;
    }
  }

  void note_head() {
    const MessageHead& head = codec_.head();
    static constexpr const char* kBodies[] = {"none", "length", "chunked", "until_close"};
    text_ += head.is_request
                 ? "request " + std::string(head.method) + " " + std::string(head.target)
                 : "response " + std::to_string(head.status) + " " + std::string(head.reason);
    text_ += " 1." + std::to_string(head.version_minor) +
             " body=" + kBodies[static_cast<size_t>(head.body)] + "/" +
             std::to_string(head.content_length) + (head.keep_alive ? " keep" : " close") +
             (head.upgrade ? " upgrade" : "") + (head.expects_continue ? " continue" : "") + "\n";
    for (uint16_t i = 0; i < head.field_count; ++i) {
      text_ += "  " + std::string(head.name(head.fields[i])) + "=" +
               std::string(head.value(head.fields[i])) + "\n";
    }
    if (on_head) on_head(head);
  }

  H1Codec codec_;
  std::string reply_to_;
  std::string text_;
  std::string body_;
  std::string tunnel_bytes_;
  bool in_body_ = false;
  bool over_ = false;
  bool tunnel_ = false;
};

/// All bytes in one read.
inline std::string transcript_whole(H1Codec::Kind kind, std::string_view bytes,
                                    const HttpLimits& limits = {}, std::string_view reply_to = {}) {
  HttpTranscript transcript(kind, limits, reply_to);
  transcript.feed(bytes);
  return transcript.finish();
}

/// Reads of `piece` bytes each.
inline std::string transcript_cut(H1Codec::Kind kind, std::string_view bytes, size_t piece,
                                  const HttpLimits& limits = {}, std::string_view reply_to = {}) {
  HttpTranscript transcript(kind, limits, reply_to);
  for (size_t at = 0; at < bytes.size(); at += piece) transcript.feed(bytes.substr(at, piece));
  return transcript.finish();
}

}  // namespace hms::net
