#include "net/io/tls_bio.h"

#include <algorithm>
#include <cstring>

#include "net/core/check.h"

namespace hms::net {
namespace {

TlsWire& wire_of(BIO* bio) noexcept { return *static_cast<TlsWire*>(BIO_get_data(bio)); }

int bio_read(BIO* bio, char* out, int length) {
  BIO_clear_retry_flags(bio);
  std::string_view& input = wire_of(bio).input;
  const size_t taken = std::min(static_cast<size_t>(std::max(length, 0)), input.size());
  if (taken == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(out, input.data(), taken);
  input.remove_prefix(taken);
  return static_cast<int>(taken);
}

int bio_write(BIO* bio, const char* bytes, int length) {
  BIO_clear_retry_flags(bio);
  TlsWire& wire = wire_of(bio);
  wire.scratch.append_cipher({bytes, static_cast<size_t>(std::max(length, 0))}, *wire.inner);
  return length;
}

const BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hms stream");
    HMS_ENSURE(made != nullptr);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(
        made, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

}  // namespace

BIO* make_tls_bio(TlsWire& wire) {
  BIO* const bio = BIO_new(bio_method());
  HMS_ENSURE(bio != nullptr);
  BIO_set_data(bio, &wire);
  return bio;
}

}  // namespace hms::net
