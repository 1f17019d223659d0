#include "collector/lake/day_writer.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "collector/lake/table_files.h"
#include "collector/store/keys.h"
#include "collector/store/log_chunk.h"
#include "collector/store/series_regex.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_edge_rows.h"
#include "collector/store/span_index.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kIndexSortBytes = 16ULL * 1024 * 1024;
constexpr uint32_t kSlotsPerHour = 3'600 / kSecondsPerSlot;
constexpr size_t kMaxServices = 2'000;
constexpr uint64_t kAskEvery = 4'096;

Error cancelled_error() {
  return {Code::canceled, net::Side::self, true, "lake: the roll was stopped"};
}

class DayWriter {
 public:
  DayWriter(const KvReader& reader, const SeriesSource& series, Family day,
            const DayWriterOptions& options)
      : reader_(reader), series_(series), day_(day), options_(options) {
    manifest_.day = day.day;
  }

  Result<LakeManifest> write() {
    if (auto done = write_sorted(LakeTable::spans); !done.ok()) return std::move(done).error();
    if (auto done = write_sorted(LakeTable::logs); !done.ok()) return std::move(done).error();
    if (auto done = write_series(); !done.ok()) return std::move(done).error();
    if (auto done = write_map(); !done.ok()) return std::move(done).error();
    manifest_.services.assign(services_.begin(), services_.end());
    return std::move(manifest_);
  }

 private:
  bool stopped() { return options_.cancelled && options_.cancelled(); }

  void begin(LakeTable table) {
    if (options_.on_table) options_.on_table(table);
  }

  // ---- spans and logs

  Result<void> write_sorted(LakeTable table) {
    begin(table);
    const TableSpec& spec = table_spec(table);
    LakeTableManifest& out = manifest_.table(table);
    ExternalSorter sorter(options_.folder, "sort-" + std::string(spec.name),
                          options_.sort_memory_bytes);
    auto filled = table == LakeTable::spans ? read_spans(spec, sorter, out.totals)
                                            : read_logs(spec, sorter, out.totals);
    if (!filled.ok()) return filled;
    TableFiles files(options_.folder, day_.day, table, options_.max_file_bytes);
    TraceIndexWriter index(options_.folder, day_.day, table, kIndexSortBytes);
    uint64_t row_number = 0;
    const size_t trace_column =
        table == LakeTable::spans ? span_column::trace_id : log_column::trace_id;
    auto written = sorter.finish([&](std::string_view, std::string_view row) -> Result<void> {
      if (row_number % kAskEvery == 0 && stopped()) return cancelled_error();
      if (auto indexed = index.add(cell_text(spec, row, trace_column), row_number); !indexed.ok())
        return indexed;
      ++row_number;
      return files.add(row);
    });
    if (!written.ok()) return written;
    auto finished = files.finish();
    if (!finished.ok()) return std::move(finished).error();
    out.files = std::move(finished).value();
    if (out.files.empty()) return {};
    auto indexed = index.finish();
    if (!indexed.ok()) return std::move(indexed).error();
    out.trace_index = std::move(indexed).value();
    return {};
  }

  Result<void> read_spans(const TableSpec& spec, ExternalSorter& sorter, TableTotals& totals) {
    return each_chunk(
        Table::span_chunk, [&](std::string_view key, std::string_view value) -> Result<void> {
          auto chunk = decode_span_chunk(value, [&] {
            return reader_.get(day_, table_key(Table::span_ids).append(key.substr(1)));
          });
          if (!chunk.ok()) return std::move(chunk).error();
          for (const telemetry::SpanView& view : chunk.value()->spans) {
            const StoredSpan span = stored_span(*chunk.value(), view);
            note_service(span.service);
            span_row(span, row_, key_);
            totals.add(spec, row_.bytes());
            if (auto added = sorter.add(key_, row_.bytes()); !added.ok()) return added;
          }
          return {};
        });
  }

  Result<void> read_logs(const TableSpec& spec, ExternalSorter& sorter, TableTotals& totals) {
    return each_chunk(Table::log_chunk,
                      [&](std::string_view, std::string_view value) -> Result<void> {
                        auto chunk = decode_log_chunk(value);
                        if (!chunk.ok()) return std::move(chunk).error();
                        for (const telemetry::LogView& view : chunk.value()->logs) {
                          const StoredLog log = stored_log(*chunk.value(), view);
                          note_service(log.service);
                          log_row(log, row_, key_);
                          totals.add(spec, row_.bytes());
                          if (auto added = sorter.add(key_, row_.bytes()); !added.ok())
                            return added;
                        }
                        return {};
                      });
  }

  template <class Each>
  Result<void> each_chunk(Table table, const Each& each) {
    const std::string begin = table_key(table);
    Result<void> inner;
    auto scanned = reader_.scan(
        day_, begin, prefix_end(begin), [&](std::string_view key, std::string_view value) {
          inner = stopped() ? Result<void>(cancelled_error()) : each(key, value);
          return inner.ok();
        });
    return scanned.ok() ? inner : scanned;
  }

  void note_service(const std::string& service) {
    if (service == last_service_) return;
    last_service_ = service;
    if (services_.size() < kMaxServices) services_.insert(service);
  }

  // ---- series

  Result<void> write_series() {
    begin(LakeTable::metrics);
    const int64_t start = static_cast<int64_t>(day_.day) * net::kMillisPerDay - 1;  // left-open
    SelectLimits limits;
    limits.cancelled = options_.cancelled;
    auto found = series_.series({}, start, start + net::kMillisPerDay, limits);
    if (!found.ok()) return std::move(found).error();
    std::vector<LabelSet>& all = found.value();
    const auto order = [](const LabelSet& labels) {
      return std::tuple(label_value(labels, "service_name"), label_value(labels, "http_route"),
                        label_value(labels, "__name__"));
    };
    std::sort(all.begin(), all.end(), [&order](const LabelSet& a, const LabelSet& b) {
      return order(a) != order(b) ? order(a) < order(b) : a < b;
    });
    TableFiles samples(options_.folder, day_.day, LakeTable::metrics, options_.max_file_bytes);
    TableFiles histograms(options_.folder, day_.day, LakeTable::histograms,
                          options_.max_file_bytes);
    for (const LabelSet& labels : all) {
      if (auto done = write_one(labels, start, limits, samples, histograms); !done.ok())
        return done;
    }
    return finish_tables({{LakeTable::metrics, &samples}, {LakeTable::histograms, &histograms}});
  }

  Result<void> write_one(const LabelSet& labels, int64_t start, const SelectLimits& limits,
                         TableFiles& samples, TableFiles& histograms) {
    std::vector<LabelMatcher> matchers;
    for (const auto& [name, value] : labels)
      matchers.push_back({name, LabelMatcher::Kind::equal, value});
    auto selected = series_.select(matchers, start, start + net::kMillisPerDay, limits);
    if (!selected.ok()) return std::move(selected).error();
    for (const Series& one : selected.value()) {
      if (one.labels != labels) continue;  // it has more labels, and comes by itself
      const std::string json = labels_json(labels);
      for (const Sample& sample : one.samples) {
        sample_row(labels, json, sample, row_);
        if (auto added = count_and_add(LakeTable::metrics, samples); !added.ok()) return added;
      }
      for (const HistogramSample& sample : one.histograms) {
        histogram_row(labels, json, sample, row_);
        if (auto added = count_and_add(LakeTable::histograms, histograms); !added.ok())
          return added;
      }
    }
    return {};
  }

  // ---- the service map

  /// Its rows as they are, and the same by the hour, so that a month is asked in thousands of rows.
  Result<void> write_map() {
    begin(LakeTable::edges);
    TableFiles slots(options_.folder, day_.day, LakeTable::edges, options_.max_file_bytes);
    TableFiles hours(options_.folder, day_.day, LakeTable::edge_hours, options_.max_file_bytes);
    uint32_t hour = 0;
    std::map<EdgeNames, EdgeTotals> of_hour;
    auto read = each_chunk(Table::service_edge,
                           [&](std::string_view key, std::string_view value) -> Result<void> {
                             const auto row = parse_edge_row(key, value);
                             if (!row)
                               return Error{Code::corrupt, net::Side::self, false,
                                            "a row of the service map cannot be read"};
                             if (row->slot / kSlotsPerHour != hour) {
                               if (auto added = add_hour(hour, of_hour, hours); !added.ok())
                                 return added;
                               hour = row->slot / kSlotsPerHour;
                             }
                             EdgeTotals& sum = of_hour[row->names];
                             sum.requests += row->totals.requests;
                             sum.errors += row->totals.errors;
                             sum.duration.merge(row->totals.duration);
                             edge_row(int64_t{row->slot} * kSecondsPerSlot * 1'000, row->names,
                                      row->totals, row->totals.by_second(), row_);
                             return count_and_add(LakeTable::edges, slots);
                           });
    if (!read.ok()) return read;
    if (auto added = add_hour(hour, of_hour, hours); !added.ok()) return added;
    manifest_.has_map = true;
    return finish_tables({{LakeTable::edges, &slots}, {LakeTable::edge_hours, &hours}});
  }

  Result<void> add_hour(uint32_t hour, std::map<EdgeNames, EdgeTotals>& rows, TableFiles& files) {
    for (const auto& [names, totals] : rows) {
      edge_row(int64_t{hour} * net::kMillisPerHour, names, totals, false, row_);
      if (auto added = count_and_add(LakeTable::edge_hours, files); !added.ok()) return added;
    }
    rows.clear();
    return {};
  }

  Result<void> finish_tables(const std::vector<std::pair<LakeTable, TableFiles*>>& tables) {
    for (const auto& [table, files] : tables) {
      auto finished = files->finish();
      if (!finished.ok()) return std::move(finished).error();
      manifest_.table(table).files = std::move(finished).value();
    }
    return {};
  }

  Result<void> count_and_add(LakeTable table, TableFiles& files) {
    manifest_.table(table).totals.add(table_spec(table), row_.bytes());
    return files.add(row_.bytes());
  }

  const KvReader& reader_;
  const SeriesSource& series_;
  const Family day_;
  const DayWriterOptions& options_;
  LakeManifest manifest_;
  std::set<std::string> services_;
  std::string last_service_;
  RowWriter row_;
  std::string key_;
};

}  // namespace

Result<LakeManifest> write_day(const KvReader& reader, const SeriesSource& series, Family day,
                               const DayWriterOptions& options) {
  return DayWriter(reader, series, day, options).write();
}

}  // namespace hms::collector
