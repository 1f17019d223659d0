// series_chunk_fuzz.cc: any bytes as a stored series chunk, as a block and as an entry of the
// series log: never a wild read, never endless, and what is read can be written and read again.
#include <cstdlib>
#include <string>
#include <string_view>

#include "collector/store/series_chunk.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_log.h"
#include "collector/store/series_packed.h"
#include "collector/store/series_sums.h"

using namespace hms::collector;

namespace {

void read_as_chunk(std::string_view bytes) {
  // A right checksum, so that the fuzzer gets past it.
  std::string stored(1, '\x01');
  const uint32_t crc = crc32c(bytes);
  for (int shift = 0; shift < 32; shift += 8)
    stored.push_back(static_cast<char>((crc >> shift) & 0xFF));
  stored += bytes;
  const auto blocks = open_blocks(stored, INT64_MIN, INT64_MAX);
  if (!blocks) return;
  std::vector<Sample> samples;
  std::vector<HistogramSample> histograms;
  std::vector<BlockPtr> kept;
  for (const Block& block : *blocks) {
    if (!read_block(block, INT64_MIN, INT64_MAX, samples, histograms)) return;
    kept.push_back(std::make_shared<Block>(block));
  }
  const auto again = open_blocks(seal_blocks(kept), INT64_MIN, INT64_MAX);
  if (!again || again->size() != kept.size()) std::abort();
}

void read_as_packed(std::string_view bytes) {
  // The runs themselves, and any bytes in place of them.
  ColumnWriter body;
  body.zigzag(0);
  body.zigzag(1);
  body.raw(seal_chunk(kPackedVersion, bytes));
  PointColumns points;
  for (const std::string& stored : {checked_chunk(kPackedVersion, body.bytes()),
                                    checked_chunk(kPackedVersion, bytes), std::string(bytes)})
    for (const PointRange& range : {PointRange{}, PointRange{-1000, 100'000, {3, 1000}}})
      static_cast<void>(unpack_points(stored, range, points.samples, points.histograms));
}

void read_as_sums(std::string_view bytes) {
  // Rows with a right checksum, and any bytes in their place. What was read reads the same again.
  const std::string rows = checked_chunk(1, seal_chunk(1, bytes));
  for (const std::string& stored : {rows, checked_chunk(1, bytes), std::string(bytes)}) {
    std::vector<PointSums> read, again;
    if (!unpack_sums(stored, INT64_MIN, INT64_MAX, read)) continue;
    if (read.size() > kMaxDaySums) std::abort();
    if (!unpack_sums(pack_sums(read), INT64_MIN, INT64_MAX, again) || again.size() > read.size())
      std::abort();
  }
}

void read_as_log(std::string_view bytes) {
  SeriesLogReader reader;
  HistogramPtr last;
  size_t points = 0;
  reader.before = [&](uint32_t) { return last; };
  reader.point = [&](uint32_t, SeriesPoint point) {
    if (point.histogram) last = point.histogram;
    ++points;
  };
  const auto plain = read_series_log(bytes, reader);
  const auto sealed = read_series_log(seal_chunk(1, bytes), reader);
  if (points > bytes.size() && plain.ok() && sealed.ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_as_chunk(bytes);
  read_as_packed(bytes);
  read_as_sums(bytes);
  read_as_log(bytes);
  const auto definition = read_definition(bytes);
  if (definition && definition->labels.size() > bytes.size()) std::abort();
  return 0;
}
