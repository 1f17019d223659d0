// chunk_ids.h: trace and span ids as the bytes of a column. Thread: values.
#pragma once

#include <cstring>
#include <string_view>

#include "collector/store/chunk_columns.h"
#include "telemetry/ids.h"

namespace hms::collector {

template <class Id>
[[nodiscard]] std::string_view bytes_of(const Id& id) noexcept {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

/// As ==, which compares bytes in a library call: this is two instructions, for millions a second.
template <class Id>
[[nodiscard]] bool same_id(const Id& a, const Id& b) noexcept {
  return std::memcmp(a.bytes.data(), b.bytes.data(), sizeof a.bytes) == 0;
}

template <class Id>
[[nodiscard]] Id read_id(ColumnReader& in) {
  Id id;
  const std::string_view bytes = in.raw(id.bytes.size());
  if (!bytes.empty()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

}  // namespace hms::collector
