#include "net/http/h1_grammar.h"

#include <string>

#include "net/http/characters.h"

namespace hms::net {

namespace {

bool is_foreign_method(uint8_t method) {
  // RTSP and ICE names that llhttp knows but does not take on HTTP.
  return method == HTTP_SOURCE || (method >= HTTP_DESCRIBE && method <= HTTP_FLUSH);
}

std::string_view site_of(int error) {
  switch (error) {
    case HPE_INVALID_URL:
      return "target";
    case HPE_INVALID_CONSTANT:
      return "version";
    case HPE_INVALID_HEADER_TOKEN:
      return "field";
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return "content_length";
    case HPE_INVALID_CHUNK_SIZE:
      return "chunk_size";
    case HPE_INVALID_STATUS:
      return "status";
    case HPE_INVALID_TRANSFER_ENCODING:
      return "transfer_encoding";
    case HPE_STRICT:
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED:
      return "line_end";
    default:
      return "grammar";
  }
}

/// `text` ends where the parser refused the version: "HTTP/2.7" is a version we lack, everything
/// else is noise.
bool names_other_version(std::string_view text) {
  if (text.size() < 8) return false;
  const std::string_view version = text.substr(text.size() - 8);
  return version.substr(0, 5) == "HTTP/" && is_class(version[5], kDigit) && version[6] == '.' &&
         is_class(version[7], kDigit) && version != "HTTP/1.1" && version != "HTTP/1.0";
}

}  // namespace

// === what llhttp tells

int H1Grammar::on_headers_complete(llhttp_t* parser) {
  static_cast<H1Grammar*>(parser->data)->seen_.head_end = true;
  return HPE_PAUSED;
}

int H1Grammar::on_message_complete(llhttp_t* parser) {
  static_cast<H1Grammar*>(parser->data)->seen_.message_end = true;
  return HPE_PAUSED;
}

int H1Grammar::on_chunk_header(llhttp_t* parser) {
  auto* self = static_cast<H1Grammar*>(parser->data);
  self->seen_.chunk_line = true;
  self->chunk_size_ = parser->content_length;
  return 0;
}

int H1Grammar::on_chunk_complete(llhttp_t* parser) {
  static_cast<H1Grammar*>(parser->data)->seen_.chunk_end = true;
  return 0;
}

const llhttp_settings_t& H1Grammar::settings() {
  static const llhttp_settings_t shared = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_headers_complete = &H1Grammar::on_headers_complete;
    made.on_message_complete = &H1Grammar::on_message_complete;
    made.on_chunk_header = &H1Grammar::on_chunk_header;
    made.on_chunk_complete = &H1Grammar::on_chunk_complete;
    return made;
  }();
  return shared;
}

// === segments

void H1Grammar::begin(H1Codec::Kind kind) {
  kind_ = kind;
  llhttp_init(&parser_, kind == H1Codec::Kind::request ? HTTP_REQUEST : HTTP_RESPONSE, &settings());
  parser_.data = this;
}

H1Grammar::Verdict H1Grammar::feed(std::string_view segment) {
  seen_ = {};
  if (segment.empty()) return Verdict::taken;
  error_ = llhttp_execute(&parser_, segment.data(), segment.size());
  if (error_ == HPE_OK) return Verdict::taken;
  if (error_ == HPE_PAUSED) {
    const bool at_end = llhttp_get_error_pos(&parser_) == segment.data() + segment.size();
    llhttp_resume(&parser_);
    return at_end ? Verdict::taken : Verdict::refused;
  }
  const bool unknown = error_ == HPE_INVALID_METHOD && kind_ == H1Codec::Kind::request;
  return unknown ? Verdict::unknown_method : Verdict::refused;
}

HttpFault H1Grammar::fault(std::string_view earlier, std::string_view segment) const {
  switch (error_) {
    case HPE_PAUSED:
      return {400, "parsers_disagree_on_end"};
    case HPE_INVALID_METHOD:
      return {400, "status_line"};
    case HPE_INVALID_CONSTANT:
      if (kind_ == H1Codec::Kind::request && is_foreign_method(parser_.method))
        return {501, "method"};
      return {400, "version"};
    case HPE_PAUSED_H2_UPGRADE:
      return {505, "http2_preface"};
    case HPE_INVALID_VERSION:
      return version_fault(earlier, segment);
    case HPE_INVALID_TRANSFER_ENCODING:
      if (has_length()) return {400, "length_and_transfer_encoding"};
      return {501, "transfer_encoding"};
    default:
      return {400, site_of(error_)};
  }
}

HttpFault H1Grammar::version_fault(std::string_view earlier, std::string_view segment) const {
  const char* at = llhttp_get_error_pos(&parser_);
  const size_t taken =
      at == nullptr || at < segment.data() ? 0 : static_cast<size_t>(at - segment.data());
  const std::string read = std::string(earlier) + std::string(segment.substr(0, taken));
  if (names_other_version(read)) return {505, "version_unsupported"};
  return {400, "version"};
}

}  // namespace hms::net
