// external_sort.h: sorts more records than fit into memory: sorted runs in files, then one merge.
//
// Keys are ordered bytewise; records of equal keys keep no order. A run is zstd blocks of about 64
// KiB: per record u32 key length, u32 payload length, key, payload. Limits: `memory_bytes` of
// records in memory while adding; kMergeRuns blocks of 64 KiB while merging (more runs are first
// merged into fewer). Files lie in `directory`, which the caller empties; they are removed on the
// way. Thread: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

class ExternalSorter {
 public:
  ExternalSorter(std::string directory, std::string name, uint64_t memory_bytes);
  ~ExternalSorter();
  ExternalSorter(const ExternalSorter&) = delete;
  ExternalSorter& operator=(const ExternalSorter&) = delete;

  /// Errors: io, no_space.
  [[nodiscard]] net::Result<void> add(std::string_view key, std::string_view payload);
  using Visitor = std::function<net::Result<void>(std::string_view key, std::string_view payload)>;
  /// Visits all records in order. Errors: io, corrupt, and the visitor's.
  [[nodiscard]] net::Result<void> finish(const Visitor& visit);
  [[nodiscard]] uint64_t bytes_spilled() const noexcept { return spilled_; }

 private:
  struct Record {
    uint64_t prefix;  // the key's first 8 bytes, as a number
    uint32_t offset, key_size, payload_size;
  };
  void sort();
  net::Result<void> spill();
  net::Result<void> merge(const std::vector<std::string>& files, const Visitor& visit) const;
  net::Result<void> reduce_runs();
  std::string next_file();
  std::string_view key(const Record& record) const;
  std::string_view payload(const Record& record) const;

  const std::string directory_, name_;
  const uint64_t memory_bytes_;
  std::string arena_;
  std::vector<Record> records_;
  std::vector<std::string> runs_;
  uint32_t files_made_ = 0;
  uint64_t spilled_ = 0;
};

}  // namespace hms::collector
