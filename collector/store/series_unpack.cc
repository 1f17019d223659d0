// series_unpack.cc: points out of packed chunks (series_packed.h).
//
// A chunk is a few runs; a run none of whose points is asked for is stepped over without being
// decoded. Within a run of histograms the buckets are one dense array, to which the changes of each
// point are added in place; a histogram is made only of those points that the question needs
// (series_thinning.h). A day of 100 routes has 864,000 histograms of a kilobyte: making them all
// was nine tenths of what a quantile over the day cost.
#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "collector/store/series_chunk.h"
#include "collector/store/series_packed.h"
#include "collector/store/series_packed_form.h"
#include "collector/store/series_thinning.h"

namespace hms::collector {
namespace {

using packed::bits;
using packed::kMaxDecimals;
using packed::kMaxRunBuckets;
using packed::kPowers;
using packed::plus;
using packed::read_numbers;
using packed::RunKind;

// Between the lowest and the highest bucket of a run; a route's lie within 200. Wider ones (a
// stranger's) are kept sparse.
constexpr uint64_t kDenseSlots = 4096;
constexpr size_t kKeptNumbers = 128 * 1024;  // of scratch, from one chunk to the next

// ---------------------------------------------------------------- numbers

bool skip_numbers(ColumnReader& in, size_t count) {
  const uint8_t order = in.u8();
  if (order > 2 || order > count) return false;
  for (size_t i = 0; i < order; ++i) static_cast<void>(in.zigzag());
  static_cast<void>(in.zigzag());
  const uint8_t planes = in.u8();
  if (in.failed() || planes > 8) return false;
  static_cast<void>(in.raw((count - order) * planes));
  return !in.failed();
}

}  // namespace

bool packed::read_numbers(ColumnReader& in, size_t count, std::vector<int64_t>& out) {
  const uint8_t order = in.u8();
  if (order > 2 || order > count) return false;
  out.resize(count);
  for (size_t i = 0; i < order; ++i) out[i] = in.zigzag();
  const int64_t least = in.zigzag();
  const uint8_t planes = in.u8();
  if (in.failed() || planes > 8) return false;
  const size_t rest = count - order;
  // Plain pointers: these loops are most of what a question costs, and are to become vector code.
  int64_t* const numbers = out.data();
  int64_t* const coded = numbers + order;
  if (planes == 0) std::fill_n(coded, rest, least);
  for (size_t p = 0; p < planes; ++p) {
    const std::string_view plane = in.raw(rest);
    if (plane.size() != rest) return false;
    const char* const bytes = plane.data();
    for (size_t i = 0; i < rest; ++i) {
      coded[i] = plus(p == 0 ? least : coded[i],
                      static_cast<int64_t>(uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * p)));
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

namespace {

// ---------------------------------------------------------------- buckets

/// The buckets of one sign, from point to point of a run.
class RunningBuckets {
 public:
  /// All indices of the run lie within [low, high].
  void begin(int64_t low, int64_t high) {
    low_ = low;
    is_dense_ = low <= high && bits(high) - bits(low) < kDenseSlots;
    dense_.assign(is_dense_ ? static_cast<size_t>(high - low) + 1 : 0, 0);
    sparse_.clear();
  }

  /// False: more buckets than there may be.
  [[nodiscard]] bool add(std::span<const int64_t> indices, std::span<const int64_t> changes) {
    if (is_dense_) {
      uint64_t* const counts = dense_.data();
      for (size_t i = 0; i < indices.size(); ++i) counts[indices[i] - low_] += bits(changes[i]);
      return true;
    }
    changes_.clear();
    for (size_t i = 0; i < indices.size(); ++i)
      changes_.push_back({static_cast<int32_t>(indices[i]), bits(changes[i])});
    return apply_bucket_changes(changes_, sparse_);
  }

  void copy_to(Buckets& out) const {
    if (!is_dense_) {
      out = sparse_;
      return;
    }
    out.resize(dense_.size());  // and cut to what is filled: no look at the room for each bucket
    telemetry::Histogram::Bucket* next = out.data();
    auto index = static_cast<int32_t>(low_);
    for (const uint64_t count : dense_) {
      *next = {index++, count};
      next += count != 0 ? 1 : 0;
    }
    out.resize(static_cast<size_t>(next - out.data()));
  }

 private:
  int64_t low_ = 0;
  bool is_dense_ = false;
  std::vector<uint64_t> dense_;
  Buckets sparse_, changes_;
};

/// What a thread needs while it reads a run; kept, because a run's columns are larger than what
/// malloc gives without asking the kernel.
struct Scratch {
  std::vector<int64_t> times, numbers;
  std::vector<int64_t> counts, zeros, sums, changed, indices, changes;
  RunningBuckets positive, negative;
  void give_back() {
    if (indices.capacity() > kKeptNumbers) *this = {};
  }
};

// ---------------------------------------------------------------- runs

class RunReader {
 public:
  RunReader(ColumnReader& in, const PointRange& range, std::vector<Sample>& samples,
            std::vector<HistogramSample>& histograms, Scratch& scratch)
      : in_(in), range_(range), samples_(samples), histograms_(histograms), scratch_(scratch) {}

  /// False: the bytes are no run.
  bool read() {
    const uint8_t kind = in_.u8();
    const uint64_t count = in_.varint();
    if (in_.failed() || count == 0 || count > kMaxRunPoints) return false;
    const auto size = static_cast<size_t>(count);
    if (kind == RunKind::histogram) return read_histograms(size);
    const bool is_decimal = kind > RunKind::decimal && kind <= RunKind::decimal + kMaxDecimals;
    if (kind != RunKind::whole && kind != RunKind::real && !is_decimal) return false;
    if (!read_numbers(in_, size, scratch_.times)) return false;
    if (!any_wanted()) return skip_numbers(in_, size);
    if (!read_numbers(in_, size, scratch_.numbers)) return false;
    const double power = is_decimal ? kPowers[static_cast<size_t>(kind - RunKind::decimal)] : 1;
    uint64_t now = 0;
    const int64_t* const numbers = scratch_.numbers.data();
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
  [[nodiscard]] bool wanted(int64_t t) const {
    return t > range_.start_millis && t <= range_.end_millis;
  }
  [[nodiscard]] bool any_wanted() const {
    return std::any_of(scratch_.times.begin(), scratch_.times.end(),
                       [this](int64_t t) { return wanted(t); });
  }

  // `value_of` is called for every point, in order.
  template <class ValueOf>
  void append_wanted(size_t size, const ValueOf& value_of) {
    size_t kept = samples_.size();
    samples_.resize(kept + size);  // grows as push_back would, and is looked at once
    Sample* const out = samples_.data();
    const int64_t* const times = scratch_.times.data();
    for (size_t i = 0; i < size; ++i) {
      out[kept] = {times[i], value_of(i)};
      kept += wanted(times[i]) ? 1 : 0;
    }
    samples_.resize(kept);
  }

  bool read_histograms(size_t size) {
    const int64_t scale = in_.zigzag();
    if (in_.failed() || scale < -10 || scale > 20) return false;
    value_ = {};
    value_.scale = static_cast<int32_t>(scale);
    if (!read_numbers(in_, size, scratch_.times)) return false;
    const bool any = any_wanted();
    const auto take = [&](size_t count, std::vector<int64_t>& column) {
      return any ? read_numbers(in_, count, column) : skip_numbers(in_, count);
    };
    if (!take(size, scratch_.counts) || !take(size, scratch_.zeros) || !take(size, scratch_.sums) ||
        !take(2 * size, scratch_.changed))
      return false;
    const uint64_t changes = in_.varint();
    // A plane of zero bytes may stand for any number of changes: their number must be believable.
    if (in_.failed() || changes > 2 * kMaxRunBuckets + 8 * kMaxHistogramBuckets) return false;
    const auto total = static_cast<size_t>(changes);
    if (any && !add_up_to(changes)) return false;
    if (!take(total, scratch_.indices) || !take(total, scratch_.changes)) return false;
    return !any || (place_buckets() && add_histograms(size));
  }

  /// Whether the points' numbers of changes come to `total`.
  [[nodiscard]] bool add_up_to(uint64_t total) const {
    uint64_t sum = 0;
    for (const int64_t changed : scratch_.changed) {
      if (changed < 0 || bits(changed) > total) return false;
      sum += bits(changed);
    }
    return sum == total;
  }

  /// From gaps to indices, and the room that the run's buckets take.
  [[nodiscard]] bool place_buckets() {
    struct Room {
      int64_t low = INT64_MAX, high = INT64_MIN;
    };
    Room room[2];
    int64_t* at = scratch_.indices.data();
    for (size_t column = 0; column < scratch_.changed.size(); ++column) {
      const int64_t* const end = at + scratch_.changed[column];
      if (at == end) continue;
      int64_t index = *at;
      if (index > INT32_MAX || index < INT32_MIN) return false;
      Room& own = room[column % 2];
      own.low = std::min(own.low, index);
      for (++at; at != end; ++at) {
        if (*at <= 0 || *at > UINT32_MAX) return false;
        index += *at;
        if (index > INT32_MAX) return false;
        *at = index;
      }
      own.high = std::max(own.high, index);
    }
    scratch_.positive.begin(room[0].low, room[0].high);
    scratch_.negative.begin(room[1].low, room[1].high);
    return true;
  }

  [[nodiscard]] bool add_histograms(size_t size) {
    const bool thins = range_.thinning.length_millis > 0;
    IntervalCursor interval(range_.thinning);
    bool any = false;      // a point of this run was wanted
    bool pending = false;  // the one before is wanted, but not made
    uint32_t left_out = 0;
    const auto make = [&](size_t i) {
      histograms_.push_back({scratch_.times[i], made(), left_out});
      left_out = 0;
      pending = false;
    };
    size_t i = 0;
    for (; i < size && scratch_.times[i] <= range_.end_millis; ++i) {
      const Changes changes = next_changes(i);
      const int64_t t = scratch_.times[i];
      const bool is_wanted = wanted(t);
      const bool decides = is_wanted && (!thins || interval.enters(t) || !any || fell(i, changes));
      if (pending && (decides || !is_wanted)) make(i - 1);
      if (!add(i, changes)) return false;
      if (decides) {
        make(i);
      } else if (is_wanted) {
        left_out += pending ? 1 : 0;
        pending = true;
      }
      any = any || is_wanted;
    }
    if (pending) make(i - 1);
    return true;
  }

  /// The buckets that one point changes.
  struct Changes {
    std::span<const int64_t> positive_indices, positive, negative_indices, negative;
  };
  Changes next_changes(size_t i) {
    if (i == 0) change_at_ = 0;
    const auto take = [&](const std::vector<int64_t>& column, size_t from, int64_t count) {
      return std::span(column).subspan(from, static_cast<size_t>(count));
    };
    const int64_t positive = scratch_.changed[2 * i];
    const int64_t negative = scratch_.changed[2 * i + 1];
    const size_t middle = change_at_ + static_cast<size_t>(positive);
    const Changes out{
        take(scratch_.indices, change_at_, positive), take(scratch_.changes, change_at_, positive),
        take(scratch_.indices, middle, negative), take(scratch_.changes, middle, negative)};
    change_at_ = middle + static_cast<size_t>(negative);
    return out;
  }

  /// Whether the series began anew with this point: a count fell.
  [[nodiscard]] bool fell(size_t i, const Changes& changes) const {
    const auto any_negative = [](std::span<const int64_t> values) {
      int64_t all = 0;
      for (const int64_t value : values) all |= value;
      return all < 0;
    };
    return scratch_.counts[i] < 0 || scratch_.zeros[i] < 0 || any_negative(changes.positive) ||
           any_negative(changes.negative);
  }

  [[nodiscard]] bool add(size_t i, const Changes& changes) {
    value_.count += bits(scratch_.counts[i]);
    value_.zero_count += bits(scratch_.zeros[i]);
    value_.sum =
        std::bit_cast<double>(std::bit_cast<uint64_t>(value_.sum) ^ bits(scratch_.sums[i]));
    return scratch_.positive.add(changes.positive_indices, changes.positive) &&
           scratch_.negative.add(changes.negative_indices, changes.negative);
  }

  [[nodiscard]] std::shared_ptr<const telemetry::Histogram> made() const {
    auto out = std::make_shared<telemetry::Histogram>(value_);
    scratch_.positive.copy_to(out->positive);
    scratch_.negative.copy_to(out->negative);
    return out;
  }

  ColumnReader& in_;
  const PointRange& range_;
  std::vector<Sample>& samples_;
  std::vector<HistogramSample>& histograms_;
  Scratch& scratch_;
  telemetry::Histogram value_;  // its buckets are in the scratch
  size_t change_at_ = 0;
};

net::Error corrupt(const char* what) { return {net::Code::corrupt, net::Side::self, false, what}; }

}  // namespace

net::Result<void> unpack_points(std::string_view stored, const PointRange& range,
                                std::vector<Sample>& samples,
                                std::vector<HistogramSample>& histograms) {
  auto body = open_checked_chunk(kPackedVersion, stored);
  if (!body) return body.error();
  ColumnReader bounds(*body);
  const int64_t first = bounds.zigzag();
  const int64_t last = plus(first, bounds.zigzag());
  if (bounds.failed()) return corrupt("packed series chunk is too short");
  if (first > range.end_millis || last <= range.start_millis) return {};
  auto opened = open_chunk(kPackedVersion, bounds.rest());
  if (!opened) return opened.error();
  ColumnReader in(*opened);
  const size_t runs = in.count(4);
  thread_local Scratch scratch;
  RunReader reader(in, range, samples, histograms, scratch);
  bool good = true;
  for (size_t i = 0; i < runs && good; ++i) good = !in.failed() && reader.read();
  scratch.give_back();
  if (!good) return corrupt("packed series chunk has a broken run");
  if (in.failed()) return corrupt("packed series chunk is too short");
  return {};
}

}  // namespace hms::collector
