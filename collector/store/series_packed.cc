// series_packed.cc: points into packed chunks; series_unpack.cc reads them. See series_packed.h.
#include "collector/store/series_packed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "collector/store/chunk_columns.h"
#include "collector/store/series_chunk.h"
#include "collector/store/series_packed_form.h"

namespace hms::collector {
namespace {

using packed::bits;
using packed::kMaxDecimals;
using packed::kMaxRunBuckets;
using packed::kPowers;
using packed::minus;
using packed::RunKind;
using packed::write_numbers;

constexpr size_t kPartBytes = 128 * 1024;

// ---------------------------------------------------------------- numbers as planes of bytes

void difference(std::vector<int64_t>& values) {
  for (size_t i = values.size(); i-- > 1;) values[i] = minus(values[i], values[i - 1]);
}

struct Span {
  int64_t least = 0;
  uint64_t width = 0;  // greatest minus least
};
Span span_of(const std::vector<int64_t>& values, size_t from) {
  Span out;
  if (values.size() <= from) return out;
  const auto [least, most] =
      std::minmax_element(values.begin() + static_cast<std::ptrdiff_t>(from), values.end());
  out.least = *least;
  out.width = bits(*most) - bits(*least);
  return out;
}

size_t bytes_for(uint64_t width) { return (static_cast<size_t>(std::bit_width(width)) + 7) / 8; }

}  // namespace

// order u8 (0, 1, 2), the first `order` values, the least of the rest, bytes of each, the planes.
void packed::write_numbers(ColumnWriter& out, std::vector<int64_t> values) {
  std::vector<int64_t> once = values;
  difference(once);
  std::vector<int64_t> twice = once;
  if (twice.size() > 1) {
    for (size_t i = twice.size(); i-- > 2;) twice[i] = minus(twice[i], twice[i - 1]);
  }
  const std::array<const std::vector<int64_t>*, 3> orders = {&values, &once, &twice};
  size_t best = 0;
  Span chosen = span_of(values, 0);
  for (size_t order = 1; order < orders.size() && order < values.size(); ++order) {
    const Span other = span_of(*orders[order], order);
    if (other.width < chosen.width) best = order, chosen = other;
  }
  const std::vector<int64_t>& column = *orders[best];
  out.u8(static_cast<uint8_t>(best));
  for (size_t i = 0; i < best; ++i) out.zigzag(column[i]);
  out.zigzag(chosen.least);
  const size_t planes = bytes_for(chosen.width);
  out.u8(static_cast<uint8_t>(planes));
  std::string plane(column.size() - best, '\0');
  for (size_t p = 0; p < planes; ++p) {
    for (size_t i = best; i < column.size(); ++i)
      plane[i - best] = static_cast<char>((bits(column[i]) - bits(chosen.least)) >> (8 * p));
    out.raw(plane);
  }
}

// ---------------------------------------------------------------- values of a run

namespace {

/// Digits after the point with which all are exact, at most kMaxDecimals.
std::optional<int> decimals_of(std::span<const double> values) {
  int digits = 0;
  for (const double value : values) {
    for (;; ++digits) {
      if (digits > kMaxDecimals) return std::nullopt;
      const double power = kPowers[static_cast<size_t>(digits)];
      const double scaled = std::round(value * power);
      if (is_whole(scaled) &&
          std::bit_cast<uint64_t>(scaled / power) == std::bit_cast<uint64_t>(value))
        break;
    }
  }
  return digits;
}

}  // namespace

packed::CodedValues packed::code_values(std::span<const double> values) {
  const auto decimals = decimals_of(values);
  CodedValues out;
  if (decimals)
    out.kind = *decimals == 0 ? uint8_t{RunKind::whole}
                              : static_cast<uint8_t>(RunKind::decimal + *decimals);
  uint64_t before = 0;
  for (const double value : values) {
    if (decimals) {
      out.numbers.push_back(
          static_cast<int64_t>(std::round(value * kPowers[static_cast<size_t>(*decimals)])));
    } else {
      const auto now = std::bit_cast<uint64_t>(value);
      out.numbers.push_back(static_cast<int64_t>(now ^ before));
      before = now;
    }
  }
  return out;
}

namespace {

void write_run(ColumnWriter& out, std::span<const Sample> points) {
  std::vector<int64_t> times;
  std::vector<double> values;
  for (const Sample& point : points) {
    times.push_back(point.t_millis);
    values.push_back(point.value);
  }
  packed::CodedValues coded = packed::code_values(values);
  out.u8(coded.kind);
  out.varint(points.size());
  write_numbers(out, std::move(times));
  write_numbers(out, std::move(coded.numbers));
}

/// What changes from histogram to histogram, each kind of number in a column of its own.
struct HistogramColumns {
  std::vector<int64_t> counts, zeros, sums, changed, gaps, changes;
};

void add_buckets(HistogramColumns& out, const std::vector<telemetry::Histogram::Bucket>& now,
                 const std::vector<telemetry::Histogram::Bucket>& before) {
  int64_t changed = 0;
  int64_t last = 0;
  for_each_bucket_change(now, before, [&](int32_t index, int64_t change) {
    ++changed;
    out.gaps.push_back(index - last);
    last = index;
    out.changes.push_back(change);
  });
  out.changed.push_back(changed);
}

void write_run(ColumnWriter& out, std::span<const HistogramSample> points) {
  out.u8(RunKind::histogram);
  out.varint(points.size());
  telemetry::Histogram before;
  before.scale = points.front().value->scale;
  out.zigzag(before.scale);
  std::vector<int64_t> times;
  HistogramColumns columns;
  for (const HistogramSample& point : points) {
    const telemetry::Histogram& now = *point.value;
    times.push_back(point.t_millis);
    columns.counts.push_back(
        minus(static_cast<int64_t>(now.count), static_cast<int64_t>(before.count)));
    columns.zeros.push_back(
        minus(static_cast<int64_t>(now.zero_count), static_cast<int64_t>(before.zero_count)));
    columns.sums.push_back(static_cast<int64_t>(std::bit_cast<uint64_t>(now.sum) ^
                                                std::bit_cast<uint64_t>(before.sum)));
    add_buckets(columns, now.positive, before.positive);
    add_buckets(columns, now.negative, before.negative);
    before = now;
  }
  write_numbers(out, std::move(times));
  for (auto* column : {&columns.counts, &columns.zeros, &columns.sums, &columns.changed})
    write_numbers(out, std::move(*column));
  out.varint(columns.gaps.size());
  write_numbers(out, std::move(columns.gaps));
  write_numbers(out, std::move(columns.changes));
}

}  // namespace

template <class Point>
void PointPacker::add_run(std::span<const Point> run) {
  if (runs_ == 0) first_ = run.front().t_millis;
  last_ = run.back().t_millis;
  write_run(columns_, run);
  ++runs_;
  points_ += run.size();
  if (columns_.size() >= kPartBytes) finish_part();
}

void PointPacker::finish_part() {
  if (runs_ == 0) return;
  ColumnWriter inner;
  inner.varint(runs_);
  inner.raw(columns_.bytes());
  ColumnWriter body;
  body.zigzag(first_);
  body.zigzag(minus(last_, first_));
  body.raw(seal_chunk(kPackedVersion, inner.bytes()));
  parts_.push_back(checked_chunk(kPackedVersion, body.bytes()));
  columns_ = ColumnWriter();
  runs_ = 0;
}

std::vector<std::string> PointPacker::take() {
  finish_part();
  return std::exchange(parts_, {});
}

void PointPacker::add(const PointColumns& points) {
  const auto& [samples, histograms] = points;
  size_t s = 0;
  size_t h = 0;
  while (s < samples.size() || h < histograms.size()) {
    const bool number = h == histograms.size() ||
                        (s < samples.size() && samples[s].t_millis <= histograms[h].t_millis);
    size_t n = 0;
    if (number) {
      const int64_t until = h < histograms.size() ? histograms[h].t_millis : INT64_MAX;
      while (n < kMaxRunPoints && s + n < samples.size() && samples[s + n].t_millis <= until) ++n;
      add_run(std::span(samples).subspan(s, n));
      s += n;
      continue;
    }
    const int64_t until = s < samples.size() ? samples[s].t_millis : INT64_MAX;
    size_t buckets = 0;
    for (; n < kMaxRunPoints && h + n < histograms.size(); ++n) {
      const HistogramSample& next = histograms[h + n];
      buckets += next.value->positive.size() + next.value->negative.size();
      if (n > 0 && (next.value->scale != histograms[h].value->scale || next.t_millis >= until ||
                    buckets > kMaxRunBuckets))
        break;
    }
    add_run(std::span(histograms).subspan(h, n));
    h += n;
  }
}

}  // namespace hms::collector
