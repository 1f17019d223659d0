// series_chunk.cc: see series_chunk.h.
#include "collector/store/series_chunk.h"
#include "net/core/time_units.h"

#include <bit>
#include <cmath>
#include <utility>

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kMaxBlocks = 1'000'000;

// Differences of attacker-chosen 64-bit numbers wrap; writer and reader wrap alike.
int64_t minus(int64_t a, int64_t b) noexcept {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t plus(int64_t a, int64_t b) noexcept {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

// 0: the same. Else 1 + (leading equal bytes * 8 + number of differing bytes - 1), then those
// bytes, lowest first.
void write_xor(ColumnWriter& out, uint64_t now, uint64_t before) {
  const uint64_t change = now ^ before;
  if (change == 0) {
    out.u8(0);
    return;
  }
  const int leading = std::countl_zero(change) / 8;
  const int trailing = std::countr_zero(change) / 8;
  const int size = 8 - leading - trailing;
  out.u8(static_cast<uint8_t>(1 + leading * 8 + size - 1));
  for (int i = trailing; i < trailing + size; ++i) out.u8(static_cast<uint8_t>(change >> (8 * i)));
}

uint64_t read_xor(ColumnReader& in, uint64_t before) {
  const uint8_t control = in.u8();
  if (control == 0) return before;
  const int leading = (control - 1) / 8;
  const int size = (control - 1) % 8 + 1;
  if (leading + size > 8) {
    in.fail();
    return before;
  }
  const int trailing = 8 - leading - size;
  uint64_t change = 0;
  for (int i = trailing; i < trailing + size; ++i)
    change |= static_cast<uint64_t>(in.u8()) << (8 * i);
  return before ^ change;
}

void write_buckets(ColumnWriter& out, const Buckets& now, const Buckets& before) {
  // Walked twice, so that the number of those that differ can go first.
  uint64_t changed = 0;
  for_each_bucket_change(now, before, [&](int32_t, int64_t) { ++changed; });
  out.varint(changed);
  int64_t last = 0;
  for_each_bucket_change(now, before, [&](int32_t index, int64_t change) {
    out.zigzag(index - last);
    last = index;
    out.zigzag(change);
  });
}

bool read_buckets(ColumnReader& in, Buckets& buckets) {
  const size_t changed = in.count(2);
  if (in.failed() || changed > kMaxHistogramBuckets) return false;
  if (changed == 0) return true;
  Buckets changes;
  changes.reserve(changed);
  int64_t index = 0;
  for (size_t i = 0; i < changed; ++i) {
    const int64_t gap = in.zigzag();
    if (in.failed() || (i > 0 && gap <= 0) || gap > INT32_MAX || gap < INT32_MIN) return false;
    index += gap;
    if (index > INT32_MAX || index < INT32_MIN) return false;
    changes.push_back({static_cast<int32_t>(index), static_cast<uint64_t>(in.zigzag())});
  }
  return !in.failed() && apply_bucket_changes(changes, buckets);
}

}  // namespace

bool apply_bucket_changes(const Buckets& changes, Buckets& buckets) {
  if (changes.empty()) return true;
  // The usual case: counts of buckets that are there already rise.
  size_t b = 0;
  bool in_place = true;
  for (const auto& change : changes) {
    while (b < buckets.size() && buckets[b].index < change.index) ++b;
    if (b == buckets.size() || buckets[b].index != change.index ||
        buckets[b].count + change.count == 0) {
      in_place = false;
      break;
    }
  }
  if (in_place) {
    b = 0;
    for (const auto& change : changes) {
      while (buckets[b].index < change.index) ++b;
      buckets[b].count += change.count;
    }
    return true;
  }
  Buckets out;
  out.reserve(buckets.size() + changes.size());
  b = 0;
  for (const auto& change : changes) {
    while (b < buckets.size() && buckets[b].index < change.index) out.push_back(buckets[b++]);
    uint64_t count = change.count;
    if (b < buckets.size() && buckets[b].index == change.index) count += buckets[b++].count;
    if (count != 0) out.push_back({change.index, count});
  }
  while (b < buckets.size()) out.push_back(buckets[b++]);
  if (out.size() > kMaxHistogramBuckets) return false;
  buckets = std::move(out);
  return true;
}

std::string checked_chunk(uint8_t version, std::string_view rest) {
  const uint32_t crc = crc32c(rest);
  std::string stored(1, static_cast<char>(version));
  for (int shift = 0; shift < 32; shift += 8)
    stored.push_back(static_cast<char>((crc >> shift) & 0xFF));
  stored += rest;
  return stored;
}

net::Result<std::string_view> open_checked_chunk(uint8_t version, std::string_view stored) {
  const auto corrupt = [](const char* what) {
    return net::Error{net::Code::corrupt, net::Side::self, false, what};
  };
  if (stored.size() < 5) return corrupt("series chunk is too short");
  const auto found = static_cast<uint8_t>(stored[0]);
  if (found != version) {
    return net::Error{net::Code::unsupported, net::Side::self, false,
                      "series chunk has version " + std::to_string(found) +
                          ", this program reads versions 1 and 2"};
  }
  uint32_t crc = 0;
  for (size_t i = 0; i < 4; ++i)
    crc |= static_cast<uint32_t>(static_cast<uint8_t>(stored[1 + i])) << (8 * i);
  const std::string_view rest = stored.substr(5);
  if (crc32c(rest) != crc) return corrupt("series chunk fails its checksum");
  return rest;
}

bool is_whole(double value) noexcept {
  constexpr double kLimit = 9007199254740992.0;  // 2^53
  return value > -kLimit && value < kLimit && value == std::trunc(value) &&
         !(value == 0 && std::signbit(value));
}

void write_histogram_change(ColumnWriter& out, const telemetry::Histogram& now,
                            const telemetry::Histogram& before) {
  out.zigzag(minus(static_cast<int64_t>(now.count), static_cast<int64_t>(before.count)));
  out.zigzag(minus(static_cast<int64_t>(now.zero_count), static_cast<int64_t>(before.zero_count)));
  write_xor(out, std::bit_cast<uint64_t>(now.sum), std::bit_cast<uint64_t>(before.sum));
  write_buckets(out, now.positive, before.positive);
  write_buckets(out, now.negative, before.negative);
}

bool read_histogram_change(ColumnReader& in, telemetry::Histogram& histogram) {
  histogram.count += static_cast<uint64_t>(in.zigzag());
  histogram.zero_count += static_cast<uint64_t>(in.zigzag());
  histogram.sum = std::bit_cast<double>(read_xor(in, std::bit_cast<uint64_t>(histogram.sum)));
  return read_buckets(in, histogram.positive) && read_buckets(in, histogram.negative) &&
         !in.failed();
}

// A block belongs to the family of one day.
bool BlockWriter::has_room(int64_t t_millis) const noexcept {
  return block_.count < kMaxBlockPoints &&
         t_millis / net::kMillisPerDay == block_.first_millis / net::kMillisPerDay;
}

bool BlockWriter::accepts(int64_t t_millis, double value) const noexcept {
  if (empty()) return true;
  return has_room(t_millis) &&
         block_.kind == (is_whole(value) ? BlockKind::integer : BlockKind::real);
}

bool BlockWriter::accepts(int64_t t_millis, const telemetry::Histogram& value) const noexcept {
  if (empty()) return true;
  return has_room(t_millis) && block_.kind == BlockKind::histogram &&
         histogram_.scale == value.scale;
}

void BlockWriter::add_time(int64_t t_millis) {
  if (block_.count == 0) {
    block_.first_millis = t_millis;
  } else {
    const int64_t step = minus(t_millis, block_.last_millis);
    out_.zigzag(minus(step, step_));
    step_ = step;
  }
  block_.last_millis = t_millis;
  ++block_.count;
}

void BlockWriter::add(int64_t t_millis, double value) {
  if (empty()) block_.kind = is_whole(value) ? BlockKind::integer : BlockKind::real;
  add_time(t_millis);
  if (block_.kind == BlockKind::integer) {
    const auto integer = static_cast<int64_t>(value);
    const int64_t step = minus(integer, integer_);
    out_.zigzag(minus(step, integer_step_));
    // The first value is not a step: the second is compared with no change.
    integer_step_ = block_.count == 1 ? 0 : step;
    integer_ = integer;
  } else {
    const auto bits = std::bit_cast<uint64_t>(value);
    write_xor(out_, bits, bits_);
    bits_ = bits;
  }
}

void BlockWriter::add(int64_t t_millis, const telemetry::Histogram& value) {
  if (empty()) {
    block_.kind = BlockKind::histogram;
    histogram_ = {};
    histogram_.scale = value.scale;
    out_.zigzag(value.scale);
  }
  add_time(t_millis);
  write_histogram_change(out_, value, histogram_);
  histogram_ = value;
}

Block BlockWriter::peek() const {
  Block out = block_;
  out.bytes = out_.bytes();
  return out;
}

Block BlockWriter::take() {
  Block out = peek();
  *this = BlockWriter();
  return out;
}

bool read_block(const Block& block, int64_t start_millis, int64_t end_millis,
                std::vector<Sample>& samples, std::vector<HistogramSample>& histograms) {
  if (block.count == 0 || block.count > kMaxBlockPoints) return false;
  ColumnReader in(block.bytes);
  int64_t t = block.first_millis;
  int64_t step = 0;
  int64_t integer = 0;
  int64_t integer_step = 0;
  uint64_t bits = 0;
  telemetry::Histogram histogram;
  if (block.kind == BlockKind::histogram) {
    const int64_t scale = in.zigzag();
    if (scale < -10 || scale > 20) return false;
    histogram.scale = static_cast<int32_t>(scale);
  }
  for (uint32_t i = 0; i < block.count; ++i) {
    if (i > 0) {
      step = plus(step, in.zigzag());
      t = plus(t, step);
    }
    const bool wanted = t > start_millis && t <= end_millis;
    switch (block.kind) {
      case BlockKind::integer: {
        const int64_t change = plus(integer_step, in.zigzag());
        integer = plus(integer, change);
        integer_step = i == 0 ? 0 : change;
        if (wanted) samples.push_back({t, static_cast<double>(integer)});
        break;
      }
      case BlockKind::real:
        bits = read_xor(in, bits);
        if (wanted) samples.push_back({t, std::bit_cast<double>(bits)});
        break;
      case BlockKind::histogram:
        if (!read_histogram_change(in, histogram)) return false;
        if (wanted)
          histograms.push_back({t, std::make_shared<const telemetry::Histogram>(histogram)});
        break;
      default:
        return false;
    }
    if (in.failed()) return false;
    if (t > end_millis) return true;  // blocks rise in time
  }
  return true;
}

std::string seal_blocks(const std::vector<BlockPtr>& blocks) {
  ColumnWriter out;
  out.varint(blocks.size());
  for (const BlockPtr& block : blocks) {
    out.u8(static_cast<uint8_t>(block->kind));
    out.varint(block->count);
    out.zigzag(block->first_millis);
    out.zigzag(minus(block->last_millis, block->first_millis));
    out.text(block->bytes);
  }
  return checked_chunk(kVersion, out.bytes());
}

net::Result<std::vector<Block>> open_blocks(std::string_view stored, int64_t start_millis,
                                            int64_t end_millis) {
  const auto corrupt = [](const char* what) {
    return net::Error{net::Code::corrupt, net::Side::self, false, what};
  };
  const auto body = open_checked_chunk(kVersion, stored);
  if (!body) return body.error();
  ColumnReader in(*body);
  const size_t count = in.count(5);
  if (count > kMaxBlocks) return corrupt("series chunk has too many blocks");
  std::vector<Block> out;
  for (size_t i = 0; i < count; ++i) {
    Block block;
    block.kind = static_cast<BlockKind>(in.u8());
    const uint64_t points = in.varint();
    block.count = points > kMaxBlockPoints ? 0 : static_cast<uint32_t>(points);
    block.first_millis = in.zigzag();
    block.last_millis = plus(block.first_millis, in.zigzag());
    const std::string_view bytes = in.text();
    if (in.failed() || block.count == 0) return corrupt("series chunk has a broken block");
    if (block.last_millis <= start_millis || block.first_millis > end_millis) continue;
    block.bytes = std::string(bytes);
    out.push_back(std::move(block));
  }
  return out;
}

}  // namespace hms::collector
