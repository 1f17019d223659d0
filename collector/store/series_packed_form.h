// series_packed_form.h: what the writers and the readers of packed chunks and of sums have in
// common; private to series_packed.cc, series_unpack.cc and series_sums.cc. Format:
// docs/storage-format.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collector/store/chunk_columns.h"

namespace hms::collector::packed {

/// Filled buckets in the histograms of a run, before the last of them.
inline constexpr size_t kMaxRunBuckets = 500'000;
inline constexpr int kMaxDecimals = 6;
inline constexpr std::array<double, kMaxDecimals + 1> kPowers = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
enum RunKind : uint8_t {
  whole = 1,
  real = 2,
  histogram = 3,
  decimal = 0x10
};  // 0x11..0x16: digits

// Differences of numbers chosen by strangers wrap; writer and reader wrap alike.
inline uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }
inline int64_t plus(int64_t a, int64_t b) { return static_cast<int64_t>(bits(a) + bits(b)); }
inline int64_t minus(int64_t a, int64_t b) { return static_cast<int64_t>(bits(a) - bits(b)); }

/// As planes of bytes (series_packed.cc).
void write_numbers(ColumnWriter& out, std::vector<int64_t> values);
/// False: the bytes are no numbers (series_unpack.cc).
[[nodiscard]] bool read_numbers(ColumnReader& in, size_t count, std::vector<int64_t>& out);

/// Reals as whole numbers: themselves, times a power of ten, or what changes of their bits.
struct CodedValues {
  uint8_t kind = RunKind::real;
  std::vector<int64_t> numbers;
};
[[nodiscard]] CodedValues code_values(std::span<const double> values);

}  // namespace hms::collector::packed
