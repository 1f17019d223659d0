#include "collector/store/span_summary.h"

#include <algorithm>
#include <bit>

#include "collector/store/chunk_columns.h"
#include "collector/store/chunk_filter.h"
#include "collector/store/span_match.h"

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 3, kWithoutBits = 2;
constexpr uint8_t kSomeFailed = 1, kSomeDidNot = 2;
constexpr unsigned kTimeShift = 20;  // about a millisecond

/// A duration rounded up to one of eight steps an octave, from 1,024 ns on.
uint8_t duration_class(uint64_t nanos) noexcept {
  const uint64_t units = (nanos >> 10) + ((nanos & 1023) != 0 ? 1 : 0);
  if (units < 8) return static_cast<uint8_t>(units);
  const auto exponent =
      static_cast<unsigned>(std::bit_width(units)) - 4;  // so that three bits follow the highest
  const uint64_t step = (units + (uint64_t{1} << exponent) - 1) >> exponent;  // 8 to 16
  return static_cast<uint8_t>(std::min<uint64_t>(uint64_t{exponent} * 8 + step, UINT8_MAX));
}
uint64_t longest_of_class(uint8_t of) noexcept {
  if (of == UINT8_MAX) return UINT64_MAX;
  if (of < 8) return uint64_t{of} << 10;
  const unsigned exponent = (of - 8U) / 8;
  return (8 + uint64_t{of} % 8) << (exponent + 10);  // at most 15 << 40
}

bool times_meet(const TraceQuery& query, uint64_t oldest, uint64_t newest) noexcept {
  return newest >= query.start_unix_nanos && oldest <= query.end_unix_nanos;
}

uint64_t little_endian(std::string_view bytes) noexcept {
  uint64_t number = 0;
  for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

}  // namespace

uint64_t attribute_bit(std::string_view key, std::string_view value) noexcept {
  return uint64_t{1} << (attribute_hash(key, value) >> 58);
}
uint64_t key_bit(std::string_view key) noexcept { return uint64_t{1} << (name_hash(key) >> 26); }

std::string encode_summary(const std::vector<OperationBounds>& operations, uint64_t newest_start) {
  ColumnWriter out;
  out.u8(kVersion);
  out.varint(operations.size());
  for (const OperationBounds& operation : operations) {
    const uint32_t hash = name_hash(operation.name);
    for (unsigned shift = 0; shift < 32; shift += 8) out.u8(static_cast<uint8_t>(hash >> shift));
    out.u8(static_cast<uint8_t>((operation.some_failed ? kSomeFailed : 0) |
                                (operation.some_not_failed ? kSomeDidNot : 0)));
    const uint64_t before = (newest_start - operation.newest_start) >> kTimeShift;
    const uint64_t newest = newest_start - (before << kTimeShift);  // not before the true one
    const uint64_t span = newest - operation.oldest_start;
    out.varint(before);
    out.varint((span >> kTimeShift) + ((span & ((1U << kTimeShift) - 1)) != 0 ? 1 : 0));
    out.u8(duration_class(operation.longest_nanos));
    for (unsigned shift = 0; shift < 64; shift += 8)
      out.u8(static_cast<uint8_t>(operation.attributes >> shift));
  }
  return out.bytes();
}

SummaryQuestion::SummaryQuestion(const TraceQuery& query)
    : query_(query), operation_(name_hash(query.operation)) {
  for (const auto& [key, value] : query.tags)
    tags_.push_back({attribute_bit(key, value), key_bit(key)});
}

bool SummaryQuestion::may_fit_bounds(ColumnReader& in, uint64_t newest_start,
                                     bool with_bits) const {
  for (size_t n = in.count(with_bits ? 16 : 8); n > 0 && !in.failed(); --n) {
    const uint64_t name = little_endian(in.raw(4));
    const uint8_t flags = in.u8();
    const uint64_t newest = newest_start - (in.varint() << kTimeShift);
    const uint64_t units = in.varint();
    const uint64_t span = units >> (64 - kTimeShift) != 0 ? UINT64_MAX : units << kTimeShift;
    const uint64_t longest = longest_of_class(in.u8());
    const uint64_t bits = with_bits ? little_endian(in.raw(8)) : UINT64_MAX;
    if (in.failed()) break;
    if (!query_.operation.empty() && name != operation_) continue;
    if (query_.error && (flags & (*query_.error ? kSomeFailed : kSomeDidNot)) == 0) continue;
    if (longest < query_.min_duration_nanos) continue;
    if (!std::all_of(tags_.begin(), tags_.end(),
                     [bits](const Tag& tag) { return (bits & (tag.value | tag.key)) != 0; }))
      continue;
    if (times_meet(query_, newest > span ? newest - span : 0, newest)) return true;
  }
  return in.failed();  // what cannot be read may hold anything
}

/// Version 1: per trace and operation.
bool SummaryQuestion::may_fit_1(ColumnReader& in, uint64_t newest_start) const {
  const DictionaryReader names(in);
  const size_t entries = in.count(5);
  for (size_t i = 0; i < entries; ++i) (void)in.varint();  // rows
  std::vector<uint64_t> starts(entries), counts(entries);
  for (uint64_t& start : starts) start = newest_start - in.varint();
  size_t total = 0;
  for (uint64_t& count : counts) {
    total += count = in.count();
    if (in.failed() || total > in.rest().size()) return true;
  }
  std::vector<uint64_t> operations(total);
  for (uint64_t& operation : operations) operation = in.varint();
  size_t next = 0;
  for (size_t i = 0; i < entries; ++i) {
    for (size_t n = 0; n < counts[i]; ++n) {
      const uint64_t operation = operations[next++];
      const uint64_t longest = in.varint() * 1'000;
      const std::string_view name = names.at(operation >> 1, in);
      if (in.failed()) return true;
      // A span of the trace may begin later than the trace.
      if ((query_.operation.empty() || name == query_.operation) &&
          (query_.error != true || (operation & 1) != 0) && longest >= query_.min_duration_nanos &&
          starts[i] <= query_.end_unix_nanos)
        return true;
    }
  }
  return in.failed();
}

bool SummaryQuestion::may_fit(std::string_view value, uint64_t newest_start) const {
  ColumnReader in(value);
  const uint8_t version = in.u8();
  if (version == 1) return may_fit_1(in, newest_start);
  if (version != kVersion && version != kWithoutBits) return true;
  return may_fit_bounds(in, newest_start, version == kVersion);
}

}  // namespace hms::collector
