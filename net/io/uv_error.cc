#include "net/io/uv_error.h"

#include <uv.h>

namespace hms::net {
namespace {

Code code_of(int status) noexcept {
  switch (status) {
    case UV_ECONNRESET:
      return Code::reset;
    // A reset too, but from a peer that had sent FIN before: Linux tells the two apart.
    case UV_EPIPE:
    case UV_EOF:
    case UV_ENOTCONN:
    case UV_ESHUTDOWN:
      return Code::closed;
    case UV_ETIMEDOUT:
      return Code::timeout;
    case UV_ECANCELED:
      return Code::canceled;
    case UV_ENOSPC:
      return Code::no_space;
    case UV_ENOENT:
      return Code::not_found;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM:
      return Code::overloaded;
    default:
      return Code::io;
  }
}

}  // namespace

Error uv_error(int status, Side side, std::string_view what) {
  char reason[128] = "";
  uv_strerror_r(status, reason, sizeof(reason));
  std::string detail(what);
  if (!detail.empty()) detail += ": ";
  detail += reason;
  return Error{
      .code = code_of(status), .side = side, .may_retry = false, .detail = std::move(detail)};
}

}  // namespace hms::net
