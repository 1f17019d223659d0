// series_compaction.cc: a day that is past becomes one packed chunk a series (series_packed.h), and
// its thinned points beside it (series_rollup.h). See series_store_impl.h.
//
// In slices: the commit thread names a few hundred series, another thread reads and packs them, and
// the next call of maintain() writes the result, series by series in one atomic group: a packed
// chunk takes the place of what it was made from in the same write, so a crash at any point leaves
// the one or the other. Points that come later make a chunk with a later epoch, which is read after
// it; the day's mark is then taken away and the day done again. A day is begun when nothing was
// sealed into it for two seal intervals. A series with a corrupt chunk is left as it is.
#include <algorithm>

#include "collector/store/keys.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_rollup.h"
#include "collector/store/series_store_impl.h"
#include "collector/store/series_sums.h"
#include "net/core/clock.h"
#include "net/core/log.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr uint64_t kSliceNanos = 300'000'000;  // of work; the next slice starts a second later
constexpr uint64_t kSliceBytes = 8ULL * 1024 * 1024;
constexpr size_t kSliceSeries = 2'000;
// A day of less than this is unpacked as a whole, of more by the hour.
constexpr uint64_t kWholeDayBytes = 256 * 1024;

struct ReadChunk {
  std::string key, value;
};

}  // namespace

std::string series_rollup_key(Table table, uint8_t level, uint32_t series, uint32_t part) {
  std::string key = table_key(table);
  append_u8(key, level);
  append_be32(key, series);
  append_be32(key, part);
  return key;
}

bool read_series_chunk(std::string_view stored, const PointRange& range,
                       std::vector<Sample>& samples, std::vector<HistogramSample>& histograms) {
  if (!stored.empty() && static_cast<uint8_t>(stored.front()) == kPackedVersion)
    return unpack_points(stored, range, samples, histograms).ok();
  const auto blocks = open_blocks(stored, range.start_millis, range.end_millis);
  if (!blocks) return false;
  return std::all_of(blocks->begin(), blocks->end(), [&](const Block& block) {
    return read_block(block, range.start_millis, range.end_millis, samples, histograms);
  });
}

/// What stands beside a day's points: thinned ones, and sums.
struct SeriesStoreImpl::DayRollups {
  std::array<PointPacker, kRollupLevels.size()> thinned;
  std::array<std::vector<PointSums>, kRollupLevels.size()> sums;
  uint64_t points = 0;
  bool has_histograms = false;

  void add(const PointColumns& more) {
    points += more.samples.size() + more.histograms.size();
    has_histograms = has_histograms || !more.histograms.empty();
    for (size_t i = 0; i < kRollupLevels.size(); ++i) {
      thinned[i].add(thin_out(more, kRollupLevels[i].millis));
      add_sums(more.samples, {0, kRollupLevels[i].millis}, sums[i]);
    }
  }
};

// A done series has sums by the hour, be they empty.
bool SeriesStoreImpl::has_sums(Family day, uint32_t id) const {
  return reader_->get(day, series_rollup_key(Table::series_sums, kRollupLevels[0].number, id, 0))
      .ok();
}

net::Result<void> SeriesStoreImpl::add_rollups(Family day, DayRollups& rollups,
                                               CompactedSeries& out) const {
  for (size_t i = 0; i < kRollupLevels.size(); ++i) {
    const uint8_t level = kRollupLevels[i].number;
    for (const Table table : {Table::series_rollup, Table::series_sums}) {
      auto old = reader_->scan(day, series_rollup_key(table, level, out.id, 0),
                               series_rollup_key(table, level, out.id + 1, 0),
                               [&](std::string_view key, std::string_view) {
                                 out.removes.emplace_back(key);
                                 return true;
                               });
      if (!old) return old;
    }
    const auto put = [&](Table table, uint32_t part, std::string value) {
      out.rollup_bytes += value.size();
      out.puts.emplace_back(series_rollup_key(table, level, out.id, part), std::move(value));
    };
    const std::vector<PointSums>& sums = rollups.sums[i];
    if (!rollups.has_histograms && !sums.empty() &&
        rollups.points >= kPointsWorthARow * sums.size()) {
      put(Table::series_sums, 0, pack_sums(sums));
    } else if (i == 0) {
      put(Table::series_sums, 0, "");
    }
    if (2 * rollups.thinned[i].points() > rollups.points) continue;  // not worth its room
    std::vector<std::string> thin = rollups.thinned[i].take();
    for (size_t part = 0; part < thin.size(); ++part)
      put(Table::series_rollup, static_cast<uint32_t>(part), std::move(thin[part]));
  }
  return {};
}

/// What one series of the day becomes. Thread: the background's.
std::optional<CompactedSeries> SeriesStoreImpl::compact_series(Family day, uint32_t id) const {
  CompactedSeries out;
  out.id = id;
  std::vector<ReadChunk> chunks;
  uint64_t bytes = 0;
  bool packed_already = true;
  auto scanned = reader_->scan(
      day, series_chunk_key(id, 0), series_chunk_key(id + 1, 0),
      [&](std::string_view key, std::string_view value) {
        if (key.size() != 9 || value.empty()) return true;
        bytes += value.size();
        packed_already = packed_already && static_cast<uint8_t>(value.front()) == kPackedVersion;
        chunks.push_back({std::string(key), std::string(value)});
        return true;
      });
  if (!scanned || chunks.empty() || (packed_already && has_sums(day, id))) return std::nullopt;
  const int64_t begin = static_cast<int64_t>(day.day) * net::kMillisPerDay;
  const int64_t window = bytes < kWholeDayBytes ? net::kMillisPerDay : net::kMillisPerHour;
  PointPacker all;
  DayRollups rollups;
  for (int64_t from = begin - 1; from < begin + net::kMillisPerDay - 1;) {
    // Windows end on the hour, as intervals do; the day's last millisecond is not the next day's.
    const int64_t to =
        std::min((from < begin ? begin : from) + window, begin + net::kMillisPerDay - 1);
    PointColumns points;
    for (const ReadChunk& chunk : chunks) {
      if (!read_series_chunk(chunk.value, {from, to, {}}, points.samples, points.histograms)) {
        corrupt_chunks_.fetch_add(1, std::memory_order_relaxed);
        net::log_error("a corrupt series chunk is left as it is",
                       {{"day", day.day}, {"series", id}});
        return std::nullopt;
      }
    }
    merge_points(points.samples, points.histograms);
    if (!packed_already) all.add(points);
    rollups.add(points);
    from = to;
  }
  // The parts take the highest of the old numbers, so that what is sealed later is read later.
  const std::vector<std::string> parts = all.take();
  const uint32_t newest = read_be32(std::string_view(chunks.back().key).substr(5));
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto back = static_cast<uint32_t>(parts.size() - 1 - i);
    out.puts.emplace_back(series_chunk_key(id, newest - back), parts[i]);
    out.bytes += parts[i].size();
  }
  out.samples = all.points();
  if (!packed_already) {
    for (const ReadChunk& chunk : chunks) out.removes.push_back(chunk.key);
  }
  if (auto beside = add_rollups(day, rollups, out); !beside) return std::nullopt;
  return out;
}

void SeriesStoreImpl::run_slice(Slice& slice) const {
  const uint64_t begin = net::monotonic_nanos();
  uint64_t bytes = 0;
  while (slice.next < slice.ids.size() && bytes < kSliceBytes &&
         net::monotonic_nanos() - begin < kSliceNanos) {
    if (auto done = compact_series(slice.day, slice.ids[slice.next])) {
      bytes += done->bytes + done->rollup_bytes;
      slice.done.push_back(std::move(*done));
    }
    ++slice.next;
  }
}

// Which day is next: the oldest that is past, at rest, and not done.
std::optional<Family> SeriesStoreImpl::day_to_compact(uint64_t now_seconds) const {
  const uint64_t rest = 2 * uint64_t{options_.seal_seconds};
  for (const auto& [day, set] : days_) {
    const uint64_t end = (uint64_t{day} + 1) * net::kSecondsPerDay;
    if (end + rest > now_seconds) break;
    if (compacted_.contains(day) && !unsummed_.contains(day)) continue;
    const auto sealed = sealed_into_.find(day);
    if (sealed == sealed_into_.end() || sealed->second + rest <= now_seconds) return Family{day};
  }
  return std::nullopt;
}

void SeriesStoreImpl::compact_some(uint64_t now_unix_nanos, KvWriter& writer) {
  if (slice_ && !slice_->finished.load(std::memory_order_acquire)) return;
  if (slice_) take_slice(writer);
  const uint64_t now_seconds = now_unix_nanos / 1'000'000'000;
  if (!compacting_) {
    compacting_ = day_to_compact(now_seconds);
    if (!compacting_) return;
    compact_from_ = 0;
    sealed_while_compacting_ = false;
  }
  auto slice = std::make_shared<Slice>();
  slice->day = *compacting_;
  {
    const std::shared_lock lock(mutex_);
    const auto day = days_.find(compacting_->day);
    for (auto series = series_.lower_bound(compact_from_);
         series != series_.end() && slice->ids.size() < kSliceSeries && day != days_.end();
         ++series) {
      if (day->second.contains(series->first)) slice->ids.push_back(series->first);
    }
  }
  if (slice->ids.empty()) {
    finish_compaction(writer);
    return;
  }
  slice_ = slice;
  const auto work = [this, slice] {
    run_slice(*slice);
    slice->finished.store(true, std::memory_order_release);
  };
  if (!options_.run_beside) {
    work();
  } else if (!options_.run_beside(work)) {
    slice_.reset();  // no thread is free: next time
  }
}

void SeriesStoreImpl::take_slice(KvWriter& writer) {
  const std::shared_ptr<Slice> slice = std::move(slice_);
  slice_.reset();
  if (!days_.contains(slice->day.day)) {  // dropped meanwhile
    compacting_.reset();
    return;
  }
  for (const CompactedSeries& series : slice->done) {
    for (const std::string& key : series.removes) writer.remove(slice->day, key);
    for (const auto& [key, value] : series.puts) writer.put(slice->day, key, value);
    compacted_samples_.fetch_add(series.samples, std::memory_order_relaxed);
    compacted_bytes_.fetch_add(series.bytes, std::memory_order_relaxed);
    rollup_bytes_.fetch_add(series.rollup_bytes, std::memory_order_relaxed);
  }
  if (slice->next > 0) compact_from_ = slice->ids[slice->next - 1] + 1;
}

void SeriesStoreImpl::finish_compaction(KvWriter& writer) {
  if (!sealed_while_compacting_ && days_.contains(compacting_->day)) {
    writer.put(*compacting_, table_key(Table::series_compacted), std::string(kCompactedMark));
    unsummed_.erase(compacting_->day);
    marks_pending_.push_back(compacting_->day);
    net::log_info("a day's series were compacted", {{"day", compacting_->day}});
  }
  compacting_.reset();
}

// A chunk was sealed into a day: what was thinned out of it is no longer the whole.
void SeriesStoreImpl::note_sealed(uint32_t day, uint64_t now_seconds, KvWriter& writer) {
  sealed_into_[day] = now_seconds;
  if (compacting_ && compacting_->day == day) sealed_while_compacting_ = true;
  std::erase(marks_pending_, day);
  unsummed_.erase(day);
  const std::unique_lock lock(mutex_);
  if (compacted_.erase(day) > 0) writer.remove(Family{day}, table_key(Table::series_compacted));
}

}  // namespace hms::collector
