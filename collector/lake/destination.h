// destination.h: where the lake is: a folder or an S3-compatible bucket. Objects have names with
// '/' and are written whole.
//
// Thread: any, many at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/parquet_reader.h"
#include "net/core/result.h"

namespace hms::collector {

class LakeDestination {
 public:
  virtual ~LakeDestination() = default;
  /// For people: "folder /srv/lake". Never a secret.
  [[nodiscard]] virtual std::string describe() const = 0;
  /// Whether reading costs a journey.
  [[nodiscard]] virtual bool remote() const noexcept = 0;
  /// Stores a file of this machine under that name, in place of what was there; complete and
  /// durable when it returns. Errors: unavailable, io, no_space.
  [[nodiscard]] virtual net::Result<void> put_file(const std::string& name,
                                                   const std::string& path) const = 0;
  [[nodiscard]] virtual net::Result<void> put(const std::string& name,
                                              std::string_view bytes) const = 0;
  /// Errors: not_found, unavailable, io.
  [[nodiscard]] virtual net::Result<std::shared_ptr<const LakeFile>> open(
      const std::string& name) const = 0;
  /// Names of the objects that begin so, sorted. At most 1,000,000.
  [[nodiscard]] virtual net::Result<std::vector<std::string>> list(
      const std::string& prefix) const = 0;
};

/// Errors: bad_config (not a directory, not writable). Made if only its last part is missing.
[[nodiscard]] net::Result<std::unique_ptr<LakeDestination>> open_folder_destination(
    const std::string& path);

/// All of a small object. Errors: too_large, and those of open.
[[nodiscard]] net::Result<std::string> read_object(const LakeDestination& destination,
                                                   const std::string& name, uint64_t max_bytes);

}  // namespace hms::collector
