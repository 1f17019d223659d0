// rocks_names.h: keys and RocksDB's statuses for people. Thread: any.
#pragma once

#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include <string>
#include <string_view>

#include "collector/store/family_name.h"
#include "collector/store/kv.h"

namespace hms::collector {

inline rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

/// no_space, corrupt, or io; `what` was being done.
[[nodiscard]] net::Error error_of(const rocksdb::Status& status, const std::string& what);

/// The first 64 bytes.
[[nodiscard]] std::string hex(std::string_view bytes);

}  // namespace hms::collector
