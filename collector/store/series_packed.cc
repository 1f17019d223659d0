// series_packed.cc: see series_packed.h.
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

namespace hms::collector {
namespace {

constexpr size_t kPartBytes = 128 * 1024;
constexpr size_t kMaxRunBuckets =
    500'000;  // filled ones in the histograms of a run, before the last
constexpr int kMaxDecimals = 6;
enum RunKind : uint8_t {
  whole = 1,
  real = 2,
  histogram = 3,
  decimal = 0x10
};  // 0x11..0x16: digits

uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }
int64_t plus(int64_t a, int64_t b) { return static_cast<int64_t>(bits(a) + bits(b)); }
int64_t minus(int64_t a, int64_t b) { return static_cast<int64_t>(bits(a) - bits(b)); }

constexpr std::array<double, kMaxDecimals + 1> kPowers = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

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

// order u8 (0, 1, 2), the first `order` values, the least of the rest, bytes of each, the planes.
void write_numbers(ColumnWriter& out, std::vector<int64_t> values) {
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

bool read_numbers(ColumnReader& in, size_t count, std::vector<int64_t>& out) {
  const uint8_t order = in.u8();
  if (order > 2 || order > count) return false;
  out.assign(count, 0);
  for (size_t i = 0; i < order; ++i) out[i] = in.zigzag();
  const int64_t least = in.zigzag();
  const uint8_t planes = in.u8();
  if (in.failed() || planes > 8) return false;
  const size_t rest = count - order;
  // Plain pointers: these loops are most of what a question costs, and are to become vector code.
  int64_t* const numbers = out.data();
  int64_t* const coded = numbers + order;
  std::fill_n(coded, rest, least);
  for (size_t p = 0; p < planes; ++p) {
    const std::string_view plane = in.raw(rest);
    if (plane.size() != rest) return false;
    const char* const bytes = plane.data();
    for (size_t i = 0; i < rest; ++i) {
      coded[i] =
          plus(coded[i], static_cast<int64_t>(uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * p)));
    }
  }
  if (order == 0) return !in.failed();
  int64_t value = numbers[0];
  if (order == 1) {
    for (size_t i = 1; i < count; ++i) numbers[i] = value = plus(value, numbers[i]);
  } else {
    int64_t step = numbers[1];
    numbers[1] = value = plus(value, step);
    for (size_t i = 2; i < count; ++i) {
      step = plus(step, numbers[i]);
      numbers[i] = value = plus(value, step);
    }
  }
  return !in.failed();
}

// ---------------------------------------------------------------- values of a run

/// Digits after the point with which all are exact, at most kMaxDecimals.
std::optional<int> decimals_of(std::span<const Sample> points) {
  int digits = 0;
  for (const Sample& point : points) {
    for (;; ++digits) {
      if (digits > kMaxDecimals) return std::nullopt;
      const double power = kPowers[static_cast<size_t>(digits)];
      const double scaled = std::round(point.value * power);
      if (is_whole(scaled) &&
          std::bit_cast<uint64_t>(scaled / power) == std::bit_cast<uint64_t>(point.value))
        break;
    }
  }
  return digits;
}

void write_run(ColumnWriter& out, std::span<const Sample> points) {
  const auto decimals = decimals_of(points);
  uint8_t kind = RunKind::real;
  if (decimals)
    kind = *decimals == 0 ? uint8_t{RunKind::whole}
                          : static_cast<uint8_t>(RunKind::decimal + *decimals);
  out.u8(kind);
  out.varint(points.size());
  std::vector<int64_t> numbers;
  for (const Sample& point : points) numbers.push_back(point.t_millis);
  write_numbers(out, numbers);
  numbers.clear();
  uint64_t before = 0;
  for (const Sample& point : points) {
    if (decimals) {
      numbers.push_back(
          static_cast<int64_t>(std::round(point.value * kPowers[static_cast<size_t>(*decimals)])));
    } else {
      const auto now = std::bit_cast<uint64_t>(point.value);
      numbers.push_back(static_cast<int64_t>(now ^ before));
      before = now;
    }
  }
  write_numbers(out, std::move(numbers));
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

// ---------------------------------------------------------------- reading a run

class RunReader {
 public:
  RunReader(ColumnReader& in, int64_t start, int64_t end, std::vector<Sample>& samples,
            std::vector<HistogramSample>& histograms)
      : in_(in), start_(start), end_(end), samples_(samples), histograms_(histograms) {}

  /// False: the bytes are no run.
  bool read() {
    const uint8_t kind = in_.u8();
    const uint64_t count = in_.varint();
    if (in_.failed() || count == 0 || count > kMaxRunPoints) return false;
    const auto size = static_cast<size_t>(count);
    if (kind == RunKind::histogram) return read_histograms(size);
    const bool is_decimal = kind > RunKind::decimal && kind <= RunKind::decimal + kMaxDecimals;
    if (kind != RunKind::whole && kind != RunKind::real && !is_decimal) return false;
    if (!read_numbers(in_, size, times_) || !read_numbers(in_, size, numbers_)) return false;
    const double power = is_decimal ? kPowers[static_cast<size_t>(kind - RunKind::decimal)] : 1;
    uint64_t now = 0;
    const int64_t* const numbers = numbers_.data();
    if (kind == RunKind::real) {
      append_wanted(size, [&](size_t i) {
        now ^= bits(numbers[i]);
        return std::bit_cast<double>(now);
      });
    } else {
      append_wanted(size, [&](size_t i) { return static_cast<double>(numbers[i]) / power; });
    }
    return true;
  }

 private:
  [[nodiscard]] bool wanted(int64_t t) const { return t > start_ && t <= end_; }

  // `value_of` is called for every point, in order.
  template <class ValueOf>
  void append_wanted(size_t size, const ValueOf& value_of) {
    size_t kept = samples_.size();
    samples_.resize(kept + size);  // grows as push_back would, and is looked at once
    Sample* const out = samples_.data();
    const int64_t* const times = times_.data();
    for (size_t i = 0; i < size; ++i) {
      out[kept] = {times[i], value_of(i)};
      kept += wanted(times[i]) ? 1 : 0;
    }
    samples_.resize(kept);
  }

  bool read_histograms(size_t size) {
    telemetry::Histogram value;
    const int64_t scale = in_.zigzag();
    if (in_.failed() || scale < -10 || scale > 20) return false;
    value.scale = static_cast<int32_t>(scale);
    HistogramColumns columns;
    if (!read_numbers(in_, size, times_) || !read_numbers(in_, size, columns.counts) ||
        !read_numbers(in_, size, columns.zeros) || !read_numbers(in_, size, columns.sums) ||
        !read_numbers(in_, 2 * size, columns.changed))
      return false;
    const uint64_t changes = in_.varint();
    if (in_.failed()) return false;
    uint64_t sum = 0;
    for (const int64_t changed : columns.changed) {
      if (changed < 0 || bits(changed) > changes) return false;
      sum += bits(changed);
    }
    // A plane of zero bytes may stand for any number of changes: their number must be believable.
    if (sum != changes || changes > 2 * kMaxRunBuckets + 8 * kMaxHistogramBuckets) return false;
    if (!read_numbers(in_, static_cast<size_t>(changes), columns.gaps) ||
        !read_numbers(in_, static_cast<size_t>(changes), columns.changes))
      return false;
    size_t at = 0;
    for (size_t i = 0; i < size; ++i) {
      value.count += bits(columns.counts[i]);
      value.zero_count += bits(columns.zeros[i]);
      value.sum = std::bit_cast<double>(std::bit_cast<uint64_t>(value.sum) ^ bits(columns.sums[i]));
      if (!change(columns, at, columns.changed[2 * i], value.positive) ||
          !change(columns, at, columns.changed[2 * i + 1], value.negative))
        return false;
      if (wanted(times_[i]))
        histograms_.push_back({times_[i], std::make_shared<const telemetry::Histogram>(value)});
    }
    return true;
  }

  bool change(const HistogramColumns& columns, size_t& at, int64_t changed,
              std::vector<telemetry::Histogram::Bucket>& buckets) {
    changes_.clear();
    int64_t index = 0;
    for (int64_t i = 0; i < changed; ++i, ++at) {
      const int64_t gap = columns.gaps[at];
      if ((i > 0 && gap <= 0) || gap > INT32_MAX || gap < INT32_MIN) return false;
      index += gap;
      if (index > INT32_MAX || index < INT32_MIN) return false;
      changes_.push_back({static_cast<int32_t>(index), bits(columns.changes[at])});
    }
    return apply_bucket_changes(changes_, buckets);
  }

  ColumnReader& in_;
  const int64_t start_, end_;
  std::vector<Sample>& samples_;
  std::vector<HistogramSample>& histograms_;
  std::vector<int64_t> times_, numbers_;
  std::vector<telemetry::Histogram::Bucket> changes_;
};

net::Error corrupt(const char* what) { return {net::Code::corrupt, net::Side::self, false, what}; }

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

net::Result<void> unpack_points(std::string_view stored, int64_t start_millis, int64_t end_millis,
                                std::vector<Sample>& samples,
                                std::vector<HistogramSample>& histograms) {
  auto body = open_checked_chunk(kPackedVersion, stored);
  if (!body) return body.error();
  ColumnReader bounds(*body);
  const int64_t first = bounds.zigzag();
  const int64_t last = plus(first, bounds.zigzag());
  if (bounds.failed()) return corrupt("packed series chunk is too short");
  if (first > end_millis || last <= start_millis) return {};
  auto opened = open_chunk(kPackedVersion, bounds.rest());
  if (!opened) return opened.error();
  ColumnReader in(*opened);
  const size_t runs = in.count(4);
  RunReader reader(in, start_millis, end_millis, samples, histograms);
  for (size_t i = 0; i < runs; ++i) {
    if (in.failed() || !reader.read()) return corrupt("packed series chunk has a broken run");
  }
  if (in.failed()) return corrupt("packed series chunk is too short");
  return {};
}

}  // namespace hms::collector
