#include "net/http/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <new>

namespace hms::net {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
constexpr int kGzipWindow = 15 + 16;  // 32 KiB window, gzip wrapper
constexpr int kZstdWindowLog = 23;  // 8 MiB: the most that RFC 9659 lets a sender of `zstd` ask for

Error corrupt(std::string_view what) {
  return Error{Code::corrupt, Side::self, false, std::string(what)};
}

Error too_large(uint64_t max_bytes) {
  return Error{Code::too_large, Side::self, false,
               "the decoded body is larger than " + std::to_string(max_bytes) + " bytes"};
}

struct InflateEnd {
  void operator()(z_stream* stream) const noexcept { inflateEnd(stream); }
};
struct FreeDecoder {
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

/// Adds a piece to `out` unless that crosses the bound.
bool append_bounded(std::string& out, const char* bytes, size_t count, uint64_t max_bytes) {
  if (count > max_bytes - out.size()) return false;
  out.append(bytes, count);
  return true;
}

}  // namespace

Result<std::string> gzip_decode(std::string_view bytes, uint64_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) return corrupt("gzip: no memory for the decoder");
  const std::unique_ptr<z_stream, InflateEnd> end(&stream);
  auto piece = std::make_unique<std::array<char, kPieceBytes>>();
  std::string out;
  // zlib counts its input in 32 bits.
  const auto give_input = [&] {
    const size_t count = std::min<size_t>(bytes.size(), std::numeric_limits<uInt>::max() / 2);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(count);
    bytes.remove_prefix(count);
  };
  give_input();
  if (stream.avail_in == 0) return corrupt("gzip: empty");
  while (true) {
    if (stream.avail_in == 0) give_input();
    stream.next_out = reinterpret_cast<Bytef*>(piece->data());
    stream.avail_out = kPieceBytes;
    const int state = inflate(&stream, Z_NO_FLUSH);
    if (!append_bounded(out, piece->data(), kPieceBytes - stream.avail_out, max_bytes)) {
      return too_large(max_bytes);
    }
    if (state == Z_STREAM_END) {
      if (stream.avail_in == 0 && bytes.empty()) return out;
      // A gzip file may have several members; what follows must be one.
      if (inflateReset(&stream) != Z_OK) return corrupt("gzip: bytes behind the end");
      continue;
    }
    if (state == Z_BUF_ERROR ||
        (state == Z_OK && stream.avail_in == 0 && bytes.empty() && stream.avail_out != 0)) {
      return corrupt("gzip: cut before its end");
    }
    if (state != Z_OK) return corrupt("gzip: broken data");
  }
}

namespace {

/// The context is kept, making one costs more than a small chunk takes to unpack; it holds no
/// window, as the output is its own.
bool fills_exactly(std::string_view frame, std::string& out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecoder> context(ZSTD_createDCtx());
  if (context == nullptr) return false;
  const size_t got =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  return ZSTD_isError(got) == 0 && got == out.size();
}

/// In one piece, when the frame says how long it is and that is believable: a stored chunk, mostly.
/// Empty: not this way, or corrupt.
std::string zstd_decode_whole(std::string_view bytes, uint64_t max_bytes) {
  const unsigned long long announced = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  const uint64_t believable = std::min<uint64_t>(max_bytes, uint64_t{bytes.size()} * 64);
  if (announced == 0 || announced > believable) return {};  // unknown and wrong are the largest
  std::string out(static_cast<size_t>(announced), '\0');
  if (!fills_exactly(bytes, out)) out.clear();
  return out;
}

}  // namespace

Result<std::string> zstd_decode_exact(std::string_view frame, size_t size) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size)
    return corrupt("zstd: not a frame of the expected length");
  std::string out(size, '\0');
  if (!fills_exactly(frame, out)) return corrupt("zstd: not a frame of the expected length");
  return out;
}

Result<std::string> zstd_decode(std::string_view bytes, uint64_t max_bytes) {
  if (std::string whole = zstd_decode_whole(bytes, max_bytes); !whole.empty()) return whole;
  const std::unique_ptr<ZSTD_DCtx, FreeDecoder> context(ZSTD_createDCtx());
  if (context == nullptr) return corrupt("zstd: no memory for the decoder");
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  if (bytes.empty()) return corrupt("zstd: empty");
  std::string out;
  const unsigned long long announced = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (announced != ZSTD_CONTENTSIZE_UNKNOWN && announced != ZSTD_CONTENTSIZE_ERROR) {
    if (announced > max_bytes) return too_large(max_bytes);
    // A hint from outside: believed only up to what a body of this size may well unfold into.
    out.reserve(static_cast<size_t>(std::min<uint64_t>(announced, uint64_t{bytes.size()} * 64)));
  }
  auto piece = std::make_unique<std::array<char, kPieceBytes>>();
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  while (true) {
    ZSTD_outBuffer output{piece->data(), kPieceBytes, 0};
    const size_t state = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(state) != 0) return corrupt(std::string("zstd: ") + ZSTD_getErrorName(state));
    if (!append_bounded(out, piece->data(), output.pos, max_bytes)) return too_large(max_bytes);
    const bool drained = output.pos < kPieceBytes;
    if (input.pos == input.size && state == 0) return out;
    if (input.pos == input.size && drained) return corrupt("zstd: cut before its end");
  }
}

std::string gzip_encode(std::string_view bytes, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string out;
  std::array<char, 16 * 1024> piece;
  int state = Z_OK;
  do {
    if (stream.avail_in == 0) {
      const size_t count = std::min<size_t>(bytes.size(), std::numeric_limits<uInt>::max() / 2);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(count);
      bytes.remove_prefix(count);
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    state = deflate(&stream, bytes.empty() ? Z_FINISH : Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
  } while (state != Z_STREAM_END);
  deflateEnd(&stream);
  return out;
}

std::string zstd_encode(std::string_view bytes, int level) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t count = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level);
  if (ZSTD_isError(count) != 0) throw std::bad_alloc();
  out.resize(count);
  out.shrink_to_fit();  // batches wait in a spool whose bound is in bytes held, not in bytes
                        // reserved
  return out;
}

// === ZstdEncoder

struct ZstdEncoder::Impl {
  struct Free {
    void operator()(ZSTD_CCtx* owned) const noexcept { ZSTD_freeCCtx(owned); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context{ZSTD_createCCtx()};
  std::string frame;

  Impl() {
    if (context == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 1);
  }

  void run(std::string_view bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    std::array<char, 16 * 1024> piece;
    size_t left = 1;
    while (left != 0) {
      ZSTD_outBuffer output{piece.data(), piece.size(), 0};
      left = ZSTD_compressStream2(context.get(), &output, &input, directive);
      if (ZSTD_isError(left) != 0) throw std::bad_alloc();
      frame.append(piece.data(), output.pos);
    }
  }
};

ZstdEncoder::ZstdEncoder() = default;
ZstdEncoder::~ZstdEncoder() = default;

void ZstdEncoder::add(std::string_view bytes) {
  if (impl_ == nullptr) impl_ = std::make_unique<Impl>();
  impl_->run(bytes, ZSTD_e_flush);
}

std::string ZstdEncoder::finish() {
  if (impl_ == nullptr) impl_ = std::make_unique<Impl>();
  impl_->run({}, ZSTD_e_end);
  std::string frame = std::move(impl_->frame);
  impl_.reset();
  frame.shrink_to_fit();
  return frame;
}

// === ZstdPacker

struct ZstdPacker::Context {
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ZSTD_freeCCtx(zstd); }
};

ZstdPacker::ZstdPacker() : context_(std::make_unique<Context>()) {
  if (context_->zstd == nullptr) throw std::bad_alloc();
}
ZstdPacker::~ZstdPacker() = default;

void ZstdPacker::pack(std::string_view bytes, int level, std::string& out) {
  const size_t begin = out.size();
  out.resize(begin + ZSTD_compressBound(bytes.size()));
  const size_t count = ZSTD_compressCCtx(context_->zstd, out.data() + begin, out.size() - begin,
                                         bytes.data(), bytes.size(), level);
  if (ZSTD_isError(count) != 0) throw std::bad_alloc();
  out.resize(begin + count);
}

}  // namespace hms::net
