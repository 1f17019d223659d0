// packed_histogram.cc: varints in and out.
#include "collector/live/packed_histogram.h"

#include <algorithm>
#include <cmath>

namespace hms::collector {
namespace {

constexpr size_t kBuckets = size_t{telemetry::kMaxIndex - telemetry::kMinIndex + 1};

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

/// Our own bytes: never cut, but a cut one reads as zero rather than beyond the end.
uint64_t take_varint(const std::string& in, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && at < in.size(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in[at++]);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return value;
}

int clamped_index(int64_t index) {
  return static_cast<int>(std::clamp<int64_t>(index, telemetry::kMinIndex, telemetry::kMaxIndex));
}

/// Index at scale 5 of a bucket of a coarser scale: the one in its middle.
int64_t refined_index(int32_t index, int32_t scale) {
  const int shift = telemetry::kScale - scale;
  if (shift >= 30) return index < 0 ? telemetry::kMinIndex : telemetry::kMaxIndex;
  const int64_t width = int64_t{1} << shift;
  return static_cast<int64_t>(index) * width + width / 2;
}

}  // namespace

std::string pack_histogram(const telemetry::Histogram& given) {
  telemetry::Histogram lowered;
  const telemetry::Histogram* histogram = &given;
  if (given.scale > telemetry::kScale) {
    lowered = given;
    lowered.lower_scale_to(telemetry::kScale);
    histogram = &lowered;
  }
  // Negative durations do not exist; what a foreign sender calls so counts as zero.
  uint64_t zero = histogram->zero_count;
  for (const auto& bucket : histogram->negative) zero += bucket.count;
  std::string body;
  uint64_t buckets = 0;
  int64_t previous = 0;
  uint64_t pending = 0;  // several buckets of a clamped range fall together
  const auto flush = [&](int64_t index, uint64_t count) {
    if (count == 0) return;
    if (buckets == 0) {
      put_varint(body, static_cast<uint64_t>(index - telemetry::kMinIndex));
    } else {
      put_varint(body, static_cast<uint64_t>(index - previous));
    }
    put_varint(body, count);
    previous = index;
    ++buckets;
  };
  int64_t pending_index = 0;
  for (const auto& bucket : histogram->positive) {
    const int64_t index = clamped_index(histogram->scale == telemetry::kScale
                                            ? bucket.index
                                            : refined_index(bucket.index, histogram->scale));
    if (pending != 0 && index != pending_index) {
      flush(pending_index, pending);
      pending = 0;
    }
    pending_index = index;
    pending += bucket.count;
  }
  flush(pending_index, pending);
  std::string out;
  put_varint(out, zero);
  put_varint(out, buckets);
  return out + body;
}

uint16_t packed_slot(uint64_t nanos) noexcept {
  if (nanos == 0) return 0;
  return static_cast<uint16_t>(clamped_index(telemetry::bucket_index_nanos(nanos)) -
                               telemetry::kMinIndex + 1);
}

void pack_more(std::string& packed, std::span<uint16_t> slots) {
  std::sort(slots.begin(), slots.end());
  auto next = slots.begin();
  const auto count_of = [&](uint64_t slot) {
    const auto begin = next;
    while (next != slots.end() && *next == slot) ++next;
    return static_cast<uint64_t>(next - begin);
  };
  size_t at = 0;
  const uint64_t zero = take_varint(packed, at) + count_of(0);
  std::string body;
  body.reserve(packed.size() + 3 * slots.size());
  uint64_t buckets = 0, last = 1;  // the first bucket's distance is to slot 1
  const auto put = [&](uint64_t slot, uint64_t count) {
    put_varint(body, slot - last);
    put_varint(body, count);
    last = slot;
    ++buckets;
  };
  uint64_t slot = 1;
  for (uint64_t left = take_varint(packed, at); left > 0 && at < packed.size(); --left) {
    slot += take_varint(packed, at);
    const uint64_t count = take_varint(packed, at);
    while (next != slots.end() && *next < slot) {
      const uint64_t fresh = *next;
      put(fresh, count_of(fresh));
    }
    put(slot, count + count_of(slot));
  }
  while (next != slots.end()) {
    const uint64_t fresh = *next;
    put(fresh, count_of(fresh));
  }
  packed.clear();
  put_varint(packed, zero);
  put_varint(packed, buckets);
  packed += body;
}

void HistogramSum::add(const std::string& packed) {
  if (packed.empty()) return;
  if (counts_.empty()) counts_.assign(kBuckets, 0);
  size_t at = 0;
  zero_ += take_varint(packed, at);
  const uint64_t buckets = take_varint(packed, at);
  uint64_t slot = 0;
  for (uint64_t i = 0; i < buckets && at < packed.size(); ++i) {
    slot += take_varint(packed, at);
    const uint64_t count = take_varint(packed, at);
    if (slot < kBuckets) counts_[static_cast<size_t>(slot)] += count;
  }
}

telemetry::Histogram HistogramSum::result() const {
  telemetry::Histogram histogram;
  histogram.zero_count = zero_;
  histogram.count = zero_;
  for (size_t slot = 0; slot < counts_.size(); ++slot) {
    if (counts_[slot] == 0) continue;
    histogram.positive.push_back(
        {static_cast<int32_t>(slot) + telemetry::kMinIndex, counts_[slot]});
    histogram.count += counts_[slot];
  }
  return histogram;
}

}  // namespace hms::collector
