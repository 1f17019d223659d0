// compress.h: gzip and zstd over whole bodies, with a bound on what comes out (a small body must
// not unfold into a large one); and zstd in pieces, where a large body would stop its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/core/result.h"

namespace hms::net {

/// Errors: too_large (more than `max_bytes` would come out), corrupt.
[[nodiscard]] Result<std::string> gzip_decode(std::string_view bytes, uint64_t max_bytes);
[[nodiscard]] Result<std::string> zstd_decode(std::string_view bytes, uint64_t max_bytes);
/// One frame of which the length that comes out is known and has been allowed. Errors: corrupt.
[[nodiscard]] Result<std::string> zstd_decode_exact(std::string_view frame, size_t size);
[[nodiscard]] std::string gzip_encode(std::string_view bytes, int level = 1);
[[nodiscard]] std::string zstd_encode(std::string_view bytes, int level = 1);

/// One zstd frame, made piece by piece. Holds about 1 MiB between the first piece and `finish`.
class ZstdEncoder {
 public:
  ZstdEncoder();
  ~ZstdEncoder();
  /// Compresses at once: the work of a call is that of its bytes.
  void add(std::string_view bytes);
  /// The frame. The next piece begins another one.
  [[nodiscard]] std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null between frames
};

/// zstd for many small pieces: keeps its context (about 1 MiB), as making one costs more than
/// packing a few KiB. Thread: its owner's.
class ZstdPacker {
 public:
  ZstdPacker();
  ~ZstdPacker();
  ZstdPacker(const ZstdPacker&) = delete;
  ZstdPacker& operator=(const ZstdPacker&) = delete;
  /// Appends one frame to `out`.
  void pack(std::string_view bytes, int level, std::string& out);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace hms::net
