// series_exemplars.cc: see series_exemplars.h; and the store's part: keeping and finding them.
#include "collector/store/series_exemplars.h"

#include <algorithm>
#include <cstring>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_store_impl.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;
constexpr int64_t kMaxBehindMillis = 3'600'000;  // an exemplar of a long interval lies before it
constexpr int64_t kMaxAheadMillis = 60'000;

template <class Id>
void put_id(ColumnWriter& out, const Id& id) {
  out.raw({reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
}

template <class Id>
void take_id(ColumnReader& in, Id& id) {
  const std::string_view bytes = in.raw(id.bytes.size());
  if (bytes.size() == id.bytes.size()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
}

uint32_t slot_of(int64_t t_millis) {
  return static_cast<uint32_t>(std::max<int64_t>(t_millis, 0) / kExemplarSlotMillis);
}

}  // namespace

std::string exemplar_key(uint32_t series, int64_t t_millis) {
  std::string key = table_key(Table::series_exemplar);
  append_be32(key, series);
  append_be32(key, slot_of(t_millis));
  return key;
}

std::string write_exemplar(const Exemplar& exemplar) {
  ColumnWriter out;
  out.u8(kVersion);
  out.zigzag(exemplar.t_millis);
  out.real(exemplar.value);
  put_id(out, exemplar.trace_id);
  put_id(out, exemplar.span_id);
  return out.bytes();
}

std::optional<Exemplar> read_exemplar(std::string_view stored) {
  ColumnReader in(stored);
  if (in.u8() != kVersion) return std::nullopt;
  Exemplar out;
  out.t_millis = in.zigzag();
  out.value = in.real();
  take_id(in, out.trace_id);
  take_id(in, out.span_id);
  if (in.failed()) return std::nullopt;
  return out;
}

void SeriesStoreImpl::stage_exemplars(StoredSeries& series, const telemetry::MetricBatch& batch,
                                      const telemetry::MetricPointView& point, int64_t t,
                                      KvWriter& writer) {
  for (uint32_t i = point.exemplars_begin; i < point.exemplars_end; ++i) {
    const telemetry::ExemplarView& given = batch.exemplars[i];
    Exemplar kept{static_cast<int64_t>(given.time_unix_nanos / 1'000'000), given.value,
                  given.trace_id, given.span_id};
    if (kept.t_millis > t + kMaxAheadMillis || kept.t_millis < t - kMaxBehindMillis)
      kept.t_millis = t;
    const uint32_t slot = slot_of(kept.t_millis);
    if (slot == series.exemplar_slot && kept.value < series.exemplar_value) continue;
    series.exemplar_slot = slot;
    series.exemplar_value = kept.value;
    writer.put(Family{static_cast<uint32_t>(kept.t_millis / net::kMillisPerDay)},
               exemplar_key(series.id, kept.t_millis), write_exemplar(kept));
  }
}

net::Result<std::vector<Exemplar>> SeriesStoreImpl::read_exemplars(uint32_t series, int64_t start,
                                                                   int64_t end) const {
  std::vector<Exemplar> out;
  std::vector<uint32_t> days;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [day, set] : days_) {
      const int64_t begin = static_cast<int64_t>(day) * net::kMillisPerDay;
      if (begin <= end && begin + net::kMillisPerDay > start) days.push_back(day);
    }
  }
  for (const uint32_t day : days) {
    auto scanned =
        reader_->scan(Family{day}, exemplar_key(series, start), exemplar_key(series, end) + '\xFF',
                      [&](std::string_view /*key*/, std::string_view value) {
                        const auto one = read_exemplar(value);
                        if (one && one->t_millis >= start && one->t_millis <= end)
                          out.push_back(*one);
                        return true;
                      });
    if (!scanned && scanned.error().code != net::Code::not_found) return scanned.error();
  }
  return out;
}

net::Result<std::vector<ExemplarSeries>> SeriesStoreImpl::exemplars(
    const std::vector<LabelMatcher>& matchers, int64_t start_millis, int64_t end_millis,
    const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  // Slots and days are counted from 1970; no exemplar is older or younger than this.
  start_millis = std::max<int64_t>(start_millis, 0);
  end_millis = std::min<int64_t>(end_millis, int64_t{UINT32_MAX} * kExemplarSlotMillis);
  std::vector<ExemplarSeries> out;
  std::vector<SeriesPtr> found = find(*compiled);
  std::optional<ClassicQuestion> classic;
  if (found.empty() && (classic = classic_question(*compiled)) && !classic->bounds.empty()) {
    auto inner = compile_matchers(classic->matchers);
    if (!inner) return inner.error();
    found = find(*inner);
  }
  uint64_t read_so_far = 0;
  for (const SeriesPtr& series : found) {
    if (limits.cancelled && limits.cancelled())
      return net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
    auto exemplars = read_exemplars(series->id, start_millis, end_millis);
    if (!exemplars) return exemplars.error();
    if (exemplars->empty()) continue;
    read_so_far += exemplars->size();
    if (read_so_far > limits.max_samples) {
      return net::Error{net::Code::too_large, net::Side::downstream, false,
                        "more than " + std::to_string(limits.max_samples) +
                            " exemplars in the range; ask for fewer series or a shorter time"};
    }
    if (!classic) {
      out.push_back({series->labels, std::move(*exemplars)});
      continue;
    }
    for (ExemplarSeries& made : classic_exemplars(series->labels, *exemplars, *classic))
      out.push_back(std::move(made));
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.labels < b.labels; });
  return out;
}

}  // namespace hms::collector
