// lake_logs.cc: log lines of the lake, newest first.
#include <algorithm>
#include <optional>
#include <set>

#include "collector/lake/attributes_json.h"
#include "collector/lake/lake_questions.h"
#include "collector/lake/lake_scan.h"
#include "collector/store/log_level.h"
#include "collector/store/log_match.h"
#include "collector/store/text_fold.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
namespace at = log_column;

using Line = std::pair<LakeLogPlace, StoredLog>;

/// The attributes of a row, read from their JSON once, and only if they decide.
class RowAttributes final : public LogLineAttributes {
 public:
  explicit RowAttributes(std::string_view json) : json_(json) {}

  bool has(std::string_view key, std::string_view text) const override {
    const auto fits = [&](const StoredAttribute& a) {
      return a.key == key && attribute_text(a) == text;
    };
    if (!json_may_name(json_, key)) return false;  // most rows end here
    return std::any_of(own().begin(), own().end(), fits) ||
           std::any_of(log_->resource_attributes.begin(), log_->resource_attributes.end(), fits);
  }
  bool any_contains(std::string_view folded) const override {
    return std::any_of(own().begin(), own().end(), [folded](const StoredAttribute& a) {
      return contains_folded(a.text, folded);
    });
  }

 private:
  const std::vector<StoredAttribute>& own() const {
    if (!log_) set_attributes(log_.emplace(), json_);
    return log_->attributes;
  }
  const std::string_view json_;
  mutable std::optional<StoredLog> log_;
};

class LogSearch {
 public:
  LogSearch(const Lake& lake, const LogQuery& query, const LakeLogPlace& after, size_t limit,
            const std::function<bool()>& cancelled, LakeWarnings& warnings)
      : lake_(lake),
        query_(query),
        after_(after),
        limit_(limit),
        cancelled_(cancelled),
        warnings_(warnings),
        match_(query) {}

  Result<std::vector<Line>> run() {
    std::vector<uint32_t> days = lake_.days();
    for (auto day = days.rbegin(); day != days.rend(); ++day) {
      auto manifest = lake_.manifest(*day);
      Result<void> searched;
      if (manifest.ok())
        searched = query_.trace_id.is_zero() ? by_columns(*day, *manifest.value())
                                             : by_trace(*day, *manifest.value());
      else
        searched = manifest.error();
      if (searched.ok()) continue;
      if (searched.error().code == Code::canceled) return std::move(searched).error();
      if (manifest.ok() || day_touches(*day, query_.start_unix_nanos, query_.end_unix_nanos))
        warnings_.add(*day, searched.error());
    }
    std::vector<Line> out;
    for (auto& node : found_) out.push_back(node);
    return out;
  }

 private:
  struct NewerFirst {
    bool operator()(const Line& a, const Line& b) const { return a.first.before(b.first); }
  };

  Result<void> by_trace(uint32_t day, const LakeManifest& manifest) {
    uint64_t number = 0;  // of one trace: few, so their order is enough to tell them apart
    return each_row_of_trace(lake_, manifest, LakeTable::logs, at::trace_id, query_.trace_id,
                             [&](const std::vector<ColumnValues>& columns, size_t i) {
                               const LakeLogPlace place{
                                   static_cast<uint64_t>(columns[at::time].integers[i]), day,
                                   number++};
                               if (after_.before(place) && fits(columns, i))
                                 keep(place, columns, i);
                               return true;
                             });
  }

  Result<void> by_columns(uint32_t day, const LakeManifest& manifest) {
    auto groups = groups_of(lake_, manifest, LakeTable::logs, lower_bound(), upper_bound(),
                            [this](const RowGroupMeta& meta) {
                              return may_hold(meta, at::service, query_.service) &&
                                     may_hold_level(meta.columns[at::level]) &&
                                     may_hold(meta, at::severity, query_.severity);
                            });
    if (!groups.ok()) return std::move(groups).error();
    for (const LakeGroup& group : groups.value()) {
      const int64_t latest = group.meta().columns[at::time].max_integer();
      if (found_.size() >= limit_ && static_cast<uint64_t>(latest) < found_.rbegin()->first.time)
        break;
      if (cancelled_ && cancelled_())
        return Error{Code::canceled, net::Side::downstream, false, "log search cancelled"};
      looked_at_ += static_cast<uint64_t>(group.meta().rows);
      if (looked_at_ > kMaxRowsLookedAt) {
        warnings_.add("the search ended after " + std::to_string(kMaxRowsLookedAt) +
                      " rows of the lake; older lines may be missing: ask a shorter time");
        return {};
      }
      if (auto searched = look_into(day, group); !searched.ok()) return searched;
    }
    return {};
  }

  static bool may_hold(const RowGroupMeta& meta, size_t column, const std::string& wanted) {
    return wanted.empty() || meta.columns[column].may_hold(wanted);
  }
  /// Levels stand there as they were sent.
  bool may_hold_level(const ColumnChunkMeta& levels) const {
    return match_.folded().level.empty() || !levels.has_bounds ||
           level_between(match_.folded().level, levels.min, levels.max);
  }
  int64_t lower_bound() const {
    return static_cast<int64_t>(std::min<uint64_t>(query_.start_unix_nanos, INT64_MAX - 1)) + 1;
  }
  int64_t upper_bound() const {
    return static_cast<int64_t>(
        std::min<uint64_t>({query_.end_unix_nanos, after_.time, INT64_MAX}));
  }

  /// Reads the columns that decide; all others only of the pages with lines that fit.
  Result<void> look_into(uint32_t day, const LakeGroup& group) {
    std::vector<ColumnValues> columns(group.file->meta().columns.size());
    std::vector<size_t> needed{at::service, at::time, at::level, at::severity, at::trace_id};
    if (!query_.text.empty()) needed.push_back(at::message);
    if (!query_.text.empty() || !query_.attributes.empty()) needed.push_back(at::attributes);
    for (const size_t column : needed) {
      auto values = group.file->read(group.index, column);
      if (!values.ok()) return std::move(values).error();
      columns[column] = std::move(values).value();
    }
    // Rows rise in time within a service and route only, so the whole group is looked at.
    std::vector<std::pair<LakeLogPlace, size_t>> fitting;
    for (size_t i = 0; i < static_cast<size_t>(group.meta().rows); ++i) {
      const LakeLogPlace place{static_cast<uint64_t>(columns[at::time].integers[i]), day,
                               group.first_row + i};
      if (after_.before(place) && fits(columns, i)) fitting.emplace_back(place, i);
    }
    std::sort(fitting.begin(), fitting.end(),
              [](const auto& a, const auto& b) { return a.first.before(b.first); });
    if (fitting.size() > limit_) fitting.resize(limit_);
    std::erase_if(fitting, [this](const auto& one) {
      return found_.size() >= limit_ && !one.first.before(found_.rbegin()->first);
    });
    if (fitting.empty()) return {};
    size_t first = SIZE_MAX, last = 0;
    for (const auto& [place, row] : fitting) {
      first = std::min(first, row);
      last = std::max(last, row + 1);
    }
    auto rows = read_rows(group, first, last);
    if (!rows.ok()) return std::move(rows).error();
    for (const auto& [place, row] : fitting) keep(place, rows.value().columns, row - first);
    return {};
  }

  bool fits(const std::vector<ColumnValues>& columns, size_t i) const {
    const auto time = static_cast<uint64_t>(columns[at::time].integers[i]);
    if (time <= query_.start_unix_nanos || time > query_.end_unix_nanos) return false;
    const auto text = [&](size_t column) {
      return columns[column].texts.empty() ? std::string_view() : columns[column].texts[i];
    };
    const LogLine line{text(at::service), text(at::level), text(at::severity), text(at::message),
                       query_.trace_id};  // rows of other traces were left out already
    return match_.fits(line, RowAttributes(text(at::attributes)));
  }

  void keep(const LakeLogPlace& place, const std::vector<ColumnValues>& columns, size_t i) {
    found_.emplace(place, log_of(columns, i));
    if (found_.size() > limit_) found_.erase(std::prev(found_.end()));
  }

  const Lake& lake_;
  const LogQuery& query_;
  const LakeLogPlace& after_;
  const size_t limit_;
  const std::function<bool()>& cancelled_;
  LakeWarnings& warnings_;
  const LogMatch match_;
  uint64_t looked_at_ = 0;
  std::set<Line, NewerFirst> found_;
};

}  // namespace

Result<std::vector<Line>> lake_logs(const Lake& lake, const LogQuery& query,
                                    const LakeLogPlace& after, size_t limit,
                                    const std::function<bool()>& cancelled,
                                    LakeWarnings& warnings) {
  return LogSearch(lake, query, after, limit, cancelled, warnings).run();
}

}  // namespace hms::collector
