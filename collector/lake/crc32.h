// crc32.h: CRC-32 (IEEE 802.3, as in gzip), which Parquet's page headers carry. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace hms::collector {

/// Of `bytes`, going on from `before` (0 at the start).
[[nodiscard]] uint32_t crc32_of(std::string_view bytes, uint32_t before = 0) noexcept;

}  // namespace hms::collector
