// chunk_ids.h: trace and span ids as the bytes of a column. Thread: values.
#pragma once

#include <bit>
#include <cstdint>
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
/// As id.is_zero(), likewise.
template <class Id>
[[nodiscard]] bool no_id(const Id& id) noexcept {
  return same_id(id, Id{});
}

/// Eight bytes of an id as a number of the same order.
[[nodiscard]] inline uint64_t ordered_bytes(const uint8_t* bytes) noexcept {
  uint64_t number = 0;
  std::memcpy(&number, bytes, sizeof number);
  if constexpr (std::endian::native == std::endian::little) number = __builtin_bswap64(number);
  return number;
}

template <class Id>
[[nodiscard]] Id read_id(ColumnReader& in) {
  Id id;
  const std::string_view bytes = in.raw(id.bytes.size());
  if (!bytes.empty()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

}  // namespace hms::collector
