// manifest.h: what the lake has of one day: written last, so a day without one is not in the lake.
//
// Object names: day=YYYY-MM-DD/ and spans-00000.parquet, logs-..., metrics-..., histograms-...,
// edges-..., edge-hours-..., trace-index-spans.parquet, trace-index-logs.parquet, manifest.json
// (docs/storage-format.md). The same day always gets the same names, so a roll that is taken up
// again replaces what a killed one left. Limits of reading: 16 MiB, 10,000 files a table, 2,000
// services. Thread: values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/rows.h"

namespace hms::collector {

/// "2026-11-01" of days since 1970-01-01, and back.
[[nodiscard]] std::string day_text(uint32_t day);
[[nodiscard]] std::optional<uint32_t> parse_day(std::string_view text);

struct LakeObject {
  std::string name;  // "day=2026-11-01/spans-00000.parquet"
  uint64_t bytes = 0;
  uint64_t rows = 0;
  std::string sha256;
  int64_t min_time = 0, max_time = 0;  // in the unit of the table's time column
};

struct LakeTableManifest {
  TableTotals totals;
  std::vector<LakeObject> files;
  std::optional<LakeObject> trace_index;
};

struct LakeManifest {
  uint32_t day = 0;
  std::string store;      // which collector's data: a UUID
  std::string rolled_at;  // ISO 8601
  std::array<LakeTableManifest, kLakeTables.size()> tables;
  bool has_map = false;               // false: rolled before the lake kept the service map
  std::vector<std::string> services;  // of spans and logs, sorted

  [[nodiscard]] const LakeTableManifest& table(LakeTable which) const {
    return tables[static_cast<size_t>(which)];
  }
  [[nodiscard]] LakeTableManifest& table(LakeTable which) {
    return tables[static_cast<size_t>(which)];
  }
  [[nodiscard]] uint64_t bytes() const;
};

inline constexpr uint64_t kMaxManifestBytes = 16ULL * 1024 * 1024;

[[nodiscard]] std::string manifest_name(uint32_t day);
/// The name of an object of that day.
[[nodiscard]] std::string object_name(uint32_t day, std::string_view file);
[[nodiscard]] std::string encode_manifest(const LakeManifest& manifest);
/// Errors: corrupt, unsupported (a newer format).
[[nodiscard]] net::Result<LakeManifest> decode_manifest(std::string_view text);

}  // namespace hms::collector
