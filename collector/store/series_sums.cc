// series_sums.cc: see series_sums.h.
#include "collector/store/series_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "collector/store/chunk_columns.h"
#include "collector/store/exact_sum.h"
#include "collector/store/series_chunk.h"
#include "collector/store/series_packed.h"
#include "collector/store/series_packed_form.h"
#include "collector/store/series_store_impl.h"
#include "collector/store/series_thinning.h"

namespace hms::collector {
namespace {

constexpr uint8_t kSumsVersion = 1;

/// The numbers of one interval, one after the other.
class RowMaker {
 public:
  [[nodiscard]] bool empty() const noexcept { return row_.count == 0; }
  void add(const Sample& sample) {
    const double value = sample.value;
    if (empty()) row_.first = row_.last = value;
    row_.t_millis = sample.t_millis;
    ++row_.count;
    sum_.add(value);
    const double distance = value - row_.first;
    distances_.add(distance);
    squares_.add(distance * distance);
    if (value_changes(row_.last, value)) ++row_.changes;
    row_.last = value;
  }
  /// Begins anew.
  PointSums take() {
    row_.sum = sum_.value();
    // About the mean, from what is about the first: one of the points is never so far from the
    // others that more than log2(count) bits are lost.
    const double distances = distances_.value();
    row_.squares = squares_.value() - distances * distances / static_cast<double>(row_.count);
    if (row_.squares < 0) row_.squares = 0;
    const PointSums out = row_;
    *this = RowMaker();
    return out;
  }

 private:
  PointSums row_;
  ExactSum sum_, distances_, squares_;
};

/// Visits the columns of rows that are reals, in the order in which they are stored.
template <class Visit>
void for_each_real(const Visit& visit) {
  for (double PointSums::*const column :
       {&PointSums::sum, &PointSums::first, &PointSums::last, &PointSums::squares})
    visit(column);
}

void write_run(ColumnWriter& out, std::span<const PointSums> rows) {
  out.varint(rows.size());
  std::vector<int64_t> times, counts, changes;
  for (const PointSums& row : rows) {
    times.push_back(row.t_millis);
    counts.push_back(static_cast<int64_t>(row.count));
    changes.push_back(static_cast<int64_t>(row.changes));
  }
  for (auto* column : {&times, &counts, &changes}) packed::write_numbers(out, std::move(*column));
  for_each_real([&](double PointSums::*column) {
    std::vector<double> values;
    for (const PointSums& row : rows) values.push_back(row.*column);
    packed::CodedValues coded = packed::code_values(values);
    out.u8(coded.kind);
    packed::write_numbers(out, std::move(coded.numbers));
  });
}

// One column of whole numbers; false: not one.
template <class Set>
bool read_column(ColumnReader& in, std::vector<PointSums>& rows, const Set& set) {
  std::vector<int64_t> numbers;
  if (!packed::read_numbers(in, rows.size(), numbers)) return false;
  for (size_t i = 0; i < rows.size(); ++i) set(rows[i], numbers[i]);
  return true;
}

bool read_reals(ColumnReader& in, std::vector<PointSums>& rows, double PointSums::*column) {
  const uint8_t kind = in.u8();
  if (kind == packed::RunKind::real) {
    uint64_t before = 0;
    return read_column(in, rows, [&](PointSums& row, int64_t number) {
      before ^= packed::bits(number);
      row.*column = std::bit_cast<double>(before);
    });
  }
  const bool is_decimal =
      kind > packed::RunKind::decimal && kind <= packed::RunKind::decimal + packed::kMaxDecimals;
  if (kind != packed::RunKind::whole && !is_decimal) return false;
  const double power =
      is_decimal ? packed::kPowers[static_cast<size_t>(kind - packed::RunKind::decimal)] : 1;
  return read_column(in, rows, [&](PointSums& row, int64_t number) {
    row.*column = static_cast<double>(number) / power;
  });
}

bool read_run(ColumnReader& in, std::vector<PointSums>& rows) {
  const uint64_t count = in.varint();
  if (in.failed() || count == 0 || count > kMaxRunPoints) return false;
  rows.assign(static_cast<size_t>(count), {});
  bool good =
      read_column(in, rows, [](PointSums& row, int64_t number) { row.t_millis = number; }) &&
      read_column(in, rows,
                  [](PointSums& row, int64_t number) { row.count = packed::bits(number); }) &&
      read_column(in, rows,
                  [](PointSums& row, int64_t number) { row.changes = packed::bits(number); });
  for_each_real([&](double PointSums::*column) { good = good && read_reals(in, rows, column); });
  return good;
}

net::Error corrupt(const char* what) { return {net::Code::corrupt, net::Side::self, false, what}; }

}  // namespace

void add_sums(std::span<const Sample> samples, const Thinning& intervals,
              std::vector<PointSums>& out) {
  IntervalCursor interval(intervals);
  RowMaker row;
  for (const Sample& sample : samples) {
    if (is_stale(sample.value)) continue;
    if (interval.enters(sample.t_millis) && !row.empty()) out.push_back(row.take());
    row.add(sample);
  }
  if (!row.empty()) out.push_back(row.take());
}

void sum_up(Series& series, const Thinning& intervals) {
  add_sums(series.samples, intervals, series.sums);
  series.samples = {};
  const auto earlier = [](const PointSums& a, const PointSums& b) {
    return a.t_millis < b.t_millis;
  };
  if (!std::is_sorted(series.sums.begin(), series.sums.end(), earlier))
    std::sort(series.sums.begin(), series.sums.end(), earlier);
}

bool is_one_interval(const Thinning& intervals, int64_t start, int64_t end) {
  if (start == INT64_MAX) return true;
  IntervalCursor interval(intervals);
  static_cast<void>(interval.enters(start + 1));
  return !interval.enters(end);
}

std::string pack_sums(const std::vector<PointSums>& rows) {
  ColumnWriter inner;
  inner.varint((rows.size() + kMaxRunPoints - 1) / kMaxRunPoints);
  for (size_t at = 0; at < rows.size(); at += kMaxRunPoints)
    write_run(inner, std::span(rows).subspan(at, std::min(kMaxRunPoints, rows.size() - at)));
  return checked_chunk(kSumsVersion, seal_chunk(kSumsVersion, inner.bytes()));
}

net::Result<void> unpack_sums(std::string_view stored, int64_t start, int64_t end,
                              std::vector<PointSums>& out) {
  auto body = open_checked_chunk(kSumsVersion, stored);
  if (!body) return body.error();
  auto opened = open_chunk(kSumsVersion, *body);
  if (!opened) return opened.error();
  ColumnReader in(*opened);
  const size_t runs = in.count();
  size_t rows_left = kMaxDaySums;
  std::vector<PointSums> rows;
  for (size_t i = 0; i < runs; ++i) {
    if (!read_run(in, rows) || rows.size() > rows_left)
      return corrupt("series sums have a broken run");
    rows_left -= rows.size();
    for (const PointSums& row : rows) {
      if (row.t_millis > start && row.t_millis <= end) out.push_back(row);
    }
  }
  if (in.failed()) return corrupt("series sums are too short");
  return {};
}

}  // namespace hms::collector
