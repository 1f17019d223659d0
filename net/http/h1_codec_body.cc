// What follows a head: a body by its length, to the connection's end, or in chunks with trailers.
#include <algorithm>

#include "net/http/characters.h"
#include "net/http/h1_codec_impl.h"
#include "net/http/head_framing.h"

namespace hms::net {

using Impl = H1Codec::Impl;
using Step = H1Codec::Step;

Step Impl::read_length(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  body = input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining, input.size())));
  input.remove_prefix(body.size());
  remaining -= body.size();
  if (remaining == 0) state = State::complete;
  return Step::body;
}

Step Impl::read_until_close(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  body = input;
  input = {};
  return Step::body;
}

Step Impl::read_chunk_size(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const size_t newline = input.find('\n');
  const size_t wanted = newline == std::string_view::npos ? input.size() : newline + 1;
  std::string_view crossed;
  size_t stop = 0;
  for (; stop < wanted && crossed.empty(); ++stop) {
    const char c = input[stop];
    if (!in_chunk_extension && is_class(c, kDigit)) {
      remaining = remaining * 16 + static_cast<uint64_t>(c - '0');
    } else if (!in_chunk_extension && lower(c) >= 'a' && lower(c) <= 'f') {
      remaining = remaining * 16 + static_cast<uint64_t>(lower(c) - 'a' + 10);
    } else {
      in_chunk_extension = true;
      if (c != '\r' && c != '\n' && ++chunk_extension_bytes > limits.chunk_extension_bytes) {
        crossed = "chunk_extension_length";
        break;
      }
      continue;
    }
    // 15 digits are an exabyte; more may only be leading zeros, which nobody sends in good faith.
    if (++chunk_size_digits > 15) {
      crossed = "chunk_size";
      break;
    }
  }
  if (!feed(input.substr(0, stop))) return Step::failed;
  if (!crossed.empty()) return fail(400, crossed);
  input.remove_prefix(stop);
  const bool ended = newline != std::string_view::npos;
  if (grammar.seen().chunk_line != ended || grammar.seen().chunk_end ||
      grammar.seen().message_end || (ended && grammar.chunk_size() != remaining)) {
    return fail(400, "parsers_disagree_on_chunk");
  }
  if (!ended) return Step::need_more;
  in_chunk_extension = false;
  chunk_size_digits = 0;
  state = remaining == 0 ? State::trailer : State::chunk_data;
  return next(input);
}

Step Impl::read_chunk_data(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const std::string_view piece =
      input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining, input.size())));
  if (!feed(piece)) return Step::failed;
  if (grammar.seen().chunk_end || grammar.seen().message_end)
    return fail(400, "parsers_disagree_on_chunk");
  body = piece;
  input.remove_prefix(piece.size());
  remaining -= piece.size();
  if (remaining == 0) {
    state = State::chunk_end;
    chunk_end_left = 2;
  }
  return Step::body;
}

Step Impl::read_chunk_end(std::string_view& input) {
  if (input.empty()) return Step::need_more;
  const std::string_view piece = input.substr(0, chunk_end_left);
  const std::string_view wanted = std::string_view("\r\n").substr(2U - chunk_end_left);
  if (piece != wanted.substr(0, piece.size())) return fail(400, "chunk_overrun");
  if (!feed(piece)) return Step::failed;
  input.remove_prefix(piece.size());
  chunk_end_left = static_cast<uint8_t>(chunk_end_left - piece.size());
  if (grammar.seen().chunk_end != (chunk_end_left == 0) || grammar.seen().message_end) {
    return fail(400, "parsers_disagree_on_chunk");
  }
  if (chunk_end_left > 0) return Step::need_more;
  state = State::chunk_size;
  return next(input);
}

Step Impl::read_trailer(std::string_view& input) {
  while (!input.empty()) {
    const size_t newline = input.find('\n');
    const size_t wanted = newline == std::string_view::npos ? input.size() : newline + 1;
    const size_t stop = std::min<size_t>(wanted, limits.trailer_bytes - trailer_bytes);
    if (!feed(input.substr(0, stop))) return Step::failed;
    if (stop < wanted) return fail(431, "trailer_length");
    trailer_bytes += stop;
    trailers.append(input.substr(0, stop));
    input.remove_prefix(stop);
    if (newline == std::string_view::npos) {
      if (grammar.seen().message_end) return fail(400, "parsers_disagree_on_trailers");
      return Step::need_more;
    }
    const Step step = end_trailer_line(input);
    if (step != Step::need_more) return step;
  }
  return Step::need_more;
}

/// `trailers` ends with a complete line: keep it, drop it, or end the message with it.
Step Impl::end_trailer_line(std::string_view& input) {
  const std::string_view line = std::string_view(trailers).substr(trailer_line_begin);
  const bool blank = line == "\r\n";
  if (grammar.seen().message_end != blank) return fail(400, "parsers_disagree_on_trailers");
  if (blank) {
    trailers.resize(trailer_line_begin);
    state = trailers.empty() ? State::complete : State::trailers_ready;
    return next(input);
  }
  if (++trailer_fields > limits.fields) return fail(431, "too_many_trailers");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return fail(400, "trailer_name");
  }
  if (line.size() < colon + 3 || line.substr(line.size() - 2) != "\r\n" ||
      !is_field_value(line.substr(colon + 1, line.size() - colon - 3))) {
    return fail(400, "trailer_value");
  }
  if (forbidden_in_trailers(line.substr(0, colon))) trailers.resize(trailer_line_begin);
  trailer_line_begin = trailers.size();
  return Step::need_more;
}

}  // namespace hms::net
