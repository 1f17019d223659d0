// rocks_names.h: names of families, and RocksDB's statuses as errors.
//
// A UTC day is the column family "day-2026-11-22", what outlives days the default one ("meta").
// Thread: any.
#pragma once

#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include <optional>
#include <string>
#include <string_view>

#include "collector/store/kv.h"

namespace hms::collector {

inline rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

/// no_space, corrupt, or io; `what` was being done.
[[nodiscard]] net::Error error_of(const rocksdb::Status& status, const std::string& what);

/// Of a day.
[[nodiscard]] std::string family_name(Family family);
[[nodiscard]] std::optional<Family> family_of_name(const std::string& name);
/// For people, meta as well.
[[nodiscard]] std::string family_text(Family family);
/// The first 64 bytes.
[[nodiscard]] std::string hex(std::string_view bytes);

}  // namespace hms::collector
