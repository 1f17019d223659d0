// eval.h: the evaluator's inside: a whole range of steps at once, column by column. Users include
// engine.h.
//
// Every node of the tree gives, for all steps together, either one number a step (scalar) or series
// with one number or histogram a step. A selector is read once for the whole range and walked with
// two pointers; nothing is evaluated step by step from scratch. Thread: one evaluation belongs to
// one thread. Limits: QueryOptions; what is held is charged to the Budget and given back.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collector/query/promql/ast.h"
#include "collector/query/promql/engine.h"
#include "collector/store/exact_sum.h"

namespace hms::collector::promql {

/// "No value at this step": Prometheus's stale marker, a NaN that arithmetic never makes.
inline constexpr uint64_t kAbsentBits = 0x7ff0000000000002ULL;
[[nodiscard]] constexpr double absent_value() noexcept {
  return std::bit_cast<double>(kAbsentBits);
}
[[nodiscard]] constexpr bool is_absent(double value) noexcept {
  return std::bit_cast<uint64_t>(value) == kAbsentBits;
}

struct Grid {
  int64_t start = 0;
  int64_t step = 1;
  size_t size = 1;
  [[nodiscard]] int64_t at(size_t i) const noexcept {
    return start + static_cast<int64_t>(i) * step;
  }
  [[nodiscard]] int64_t last() const noexcept { return at(size - 1); }
};

class Budget {
 public:
  explicit Budget(uint64_t maximum, std::shared_ptr<std::atomic<int64_t>> shared = nullptr)
      : maximum_(maximum), shared_(std::move(shared)) {}
  [[nodiscard]] uint64_t left() const noexcept {
    const uint64_t own = used_ >= maximum_ ? 0 : maximum_ - used_;
    if (!shared_) return own;
    const int64_t all = shared_->load(std::memory_order_relaxed);
    return all <= 0 ? 0 : std::min(own, static_cast<uint64_t>(all));
  }
  /// Whether it is others that leave no room.
  [[nodiscard]] bool crowded() const noexcept { return used_ + left() < maximum_; }
  [[nodiscard]] uint64_t maximum() const noexcept { return maximum_; }

 private:
  friend class Charge;
  void take(uint64_t amount) noexcept {
    used_ += amount;
    if (shared_) shared_->fetch_sub(static_cast<int64_t>(amount), std::memory_order_relaxed);
  }
  void give(uint64_t amount) noexcept {
    used_ -= amount;
    if (shared_) shared_->fetch_add(static_cast<int64_t>(amount), std::memory_order_relaxed);
  }
  uint64_t maximum_;
  std::shared_ptr<std::atomic<int64_t>> shared_;
  uint64_t used_ = 0;
};

/// What a part of the evaluation holds of the budget, given back when it goes.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), amount_(std::exchange(other.amount_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    amount_ = std::exchange(other.amount_, 0);
    return *this;
  }
  ~Charge() { release(); }
  void add(Budget& budget, uint64_t amount) noexcept {
    budget_ = &budget;
    amount_ += amount;
    budget.take(amount);
  }
  void release() noexcept {
    if (budget_ != nullptr) budget_->give(amount_);
    budget_ = nullptr;
    amount_ = 0;
  }

 private:
  Budget* budget_ = nullptr;
  uint64_t amount_ = 0;
};

struct EvalSeries {
  LabelSet labels;
  std::vector<double> values;  // one a step, or absent_value()
  std::vector<FloatHistogramPtr>
      histograms;  // empty, or one a step (null: none); a step has one or the other
  [[nodiscard]] FloatHistogramPtr histogram(size_t i) const {
    return histograms.empty() ? nullptr : histograms[i];
  }
  [[nodiscard]] bool has_histogram(size_t i) const noexcept {
    return !histograms.empty() && histograms[i] != nullptr;
  }
  [[nodiscard]] bool present(size_t i) const noexcept {
    return !is_absent(values[i]) || has_histogram(i);
  }
  void set_histogram(size_t i, FloatHistogramPtr value) {
    if (histograms.empty()) histograms.resize(values.size());
    histograms[i] = std::move(value);
  }
};

struct Evaluated {
  ValueType type = ValueType::vector;
  std::vector<double> scalars;
  std::string text;
  std::vector<EvalSeries> series;
  bool ordered = false;  // the order of `series` is part of the answer (instant queries)
  Charge charge;
};

/// A stored (whole counts) or a computed (real counts) histogram; one is set.
struct HistogramRef {
  const telemetry::Histogram* stored = nullptr;
  const FloatHistogram* computed = nullptr;
};
struct WindowHistogram {
  int64_t t_millis = 0;
  HistogramRef value;
  uint32_t left_out = 0;  // points before it that the store thinned out
};

/// What a question needs of a series.
enum class Need : uint8_t {
  all,            // every point
  ends,           // of each window the first, last, least and greatest points, and resets
  sums,           // what numbers come to (PointSums); every histogram
  sums_and_ends,  // what numbers come to; of histograms the ends, and how many there are between
};

/// The raw points of one series that the windows of a range function slide over.
struct RangeSeries {
  LabelSet labels;
  std::vector<Sample> samples;  // no stale markers
  std::vector<PointSums> sums;  // in place of samples
  std::vector<WindowHistogram> histograms;
  std::vector<HistogramSample> stored_owner;
  std::vector<FloatHistogramPtr> computed_owner;
};
struct RangeData {
  std::vector<RangeSeries> series;
  int64_t range_millis = 0;
  int64_t offset_millis = 0;
  std::optional<int64_t> fixed_at;  // @
  Charge charge;
  [[nodiscard]] int64_t reference(int64_t t) const noexcept {
    return fixed_at.value_or(t) - offset_millis;
  }
};

class Evaluator;

/// Counts what a loop looks at, and asks Evaluator::still_wanted() every so much of it: a single
/// series of a single question can be hours of work. One thread's.
class Stint {
 public:
  explicit Stint(const Evaluator& evaluator) : evaluator_(evaluator) {}
  /// After work on about so many points. False: give up, outcome() says why.
  [[nodiscard]] bool goes_on(uint64_t points) {
    points_ += points;
    return points_ < kPointsBetweenLooks || look();
  }
  [[nodiscard]] net::Result<void> outcome() && { return std::move(outcome_); }

 private:
  /// Some milliseconds of sorting; a look costs less than a microsecond.
  static constexpr uint64_t kPointsBetweenLooks = 50'000;
  bool look();

  const Evaluator& evaluator_;
  uint64_t points_ = 0;
  net::Result<void> outcome_;
};

class Evaluator {
 public:
  Evaluator(const SeriesSource& source, const QueryOptions& options, int64_t query_start,
            int64_t query_end);

  [[nodiscard]] net::Result<Evaluated> eval(const Expr& expr, const Grid& grid);
  /// A range selector or a sub-query.
  [[nodiscard]] net::Result<RangeData> range_data(const Expr& expr, const Grid& grid, Need need);

  [[nodiscard]] std::vector<std::string> warnings() const {
    return {warnings_.begin(), warnings_.end()};
  }
  [[nodiscard]] std::vector<std::string> infos() const { return {infos_.begin(), infos_.end()}; }
  [[nodiscard]] uint64_t samples_read() const noexcept { return samples_read_; }
  /// Errors: canceled (the caller has left), timeout (the question's time is up). Asked once a node
  /// and a series, and by a Stint inside loops over steps that cost more than a few nanoseconds
  /// each. Any thread.
  [[nodiscard]] net::Result<void> still_wanted() const;

 private:
  using Answer = net::Result<Evaluated>;

  // eval.cc
  Answer evaluate(const Expr& expr, const Grid& grid);
  Answer number(double value, const Grid& grid);
  Answer selector(const Expr& expr, const Grid& grid, bool timestamps);
  Answer negate(const Expr& expr, const Grid& grid);
  net::Result<std::vector<Series>> fetch(const Expr& selector, const Grid& grid,
                                         int64_t range_millis, Charge& charge, Need need);
  net::Result<RangeData> subquery_data(const Expr& expr, const Grid& grid);
  std::optional<int64_t> fixed_time(const Expr& expr) const;

  // eval_binary.cc
  Answer binary(const Expr& expr, const Grid& grid);
  /// Both sides are there.
  Answer combine_sides(const Expr& expr, Answer left, Answer right, const Grid& grid);
  Answer scalar_scalar(const Expr& expr, Evaluated left, const Evaluated& right);
  Answer vector_scalar(const Expr& expr, Evaluated vector, const Evaluated& scalar, bool swapped);
  Answer vector_vector(const Expr& expr, Evaluated left, Evaluated right, const Grid& grid);
  /// The series of one side, by the labels that they are matched by.
  using Groups = std::unordered_map<std::string, std::vector<uint32_t>>;
  /// Errors: unsupported if two series of a group of the `one` side are there at a step at which
  /// the other side has any series, whether they have a partner or not.
  net::Result<void> one_a_group(const Expr& expr, const std::vector<EvalSeries>& many,
                                const std::vector<EvalSeries>& one, const Groups& groups,
                                const Grid& grid) const;
  Answer set_operation(const Expr& expr, Evaluated left, Evaluated right, const Grid& grid);

  // eval_aggregate.cc
  Answer aggregate(const Expr& expr, const Grid& grid);
  Answer select_k(const Expr& expr, const Grid& grid, Evaluated input,
                  const std::vector<double>& k);
  Answer count_values(const Expr& expr, const Grid& grid, const Evaluated& input,
                      const std::string& label);

  // eval_functions.cc
  Answer call(const Expr& expr, const Grid& grid);
  Answer map_function(const Expr& expr, const Grid& grid);
  Answer time_function(const Expr& expr, const Grid& grid);
  Answer to_scalar(const Expr& expr, const Grid& grid);
  Answer to_vector(const Expr& expr, const Grid& grid);
  Answer absent(const Expr& expr, const Grid& grid);
  Answer label_replace(const Expr& expr, const Grid& grid);
  Answer label_join(const Expr& expr, const Grid& grid);
  Answer sort(const Expr& expr, const Grid& grid);

  // eval_range_functions.cc
  Answer range_function(const Expr& expr, const Grid& grid);
  Answer absent_over_time(const Expr& expr, const Grid& grid);
  void note_no_counters(const Expr& ranged, const RangeData& data);

  // eval_histogram.cc
  Answer histogram_function(const Expr& expr, const Grid& grid);
  Answer histogram_quantile(const Expr& expr, const Grid& grid);
  Answer histogram_fraction(const Expr& expr, const Grid& grid);
  /// Series of `input` that hold histograms, each turned into one number a step.
  net::Result<void> figures_of(
      const Evaluated& input, size_t steps, std::vector<EvalSeries>& out,
      const std::function<double(const FloatHistogram&, size_t)>& figure_at) const;

  // tools
  net::Result<std::vector<double>> scalar_argument(const Expr& expr, const Grid& grid);
  /// work(i, stint) for each i below `count`, on several threads if there are. Errors: as
  /// still_wanted(), asked before each and by `stint`, whose end it is for `work` to heed.
  [[nodiscard]] net::Result<void> for_each_slice(
      size_t count, const std::function<void(size_t, Stint&)>& work) const;
  [[nodiscard]] net::Result<void> charge(Charge& to, uint64_t amount);
  /// Joins series that have come to have the same labels. Errors: unsupported if two have a value
  /// at one step.
  [[nodiscard]] net::Result<void> join_equal(std::vector<EvalSeries>& series) const;
  void warn(const Expr& at, std::string sentence);
  void inform(const Expr& at, std::string sentence);

  const SeriesSource& source_;
  const QueryOptions& options_;
  int64_t query_start_, query_end_;
  uint64_t deadline_nanos_;
  Budget budget_;
  uint64_t samples_read_ = 0;
  std::set<std::string> warnings_, infos_;
};

// ---- labels
// ----------------------------------------------------------------------------------------------------------

void drop_name(LabelSet& labels);
/// Sets, or removes when the value is empty. Keeps the order.
void set_label(LabelSet& labels, const std::string& name, std::string value);
[[nodiscard]] LabelSet keep_labels(const LabelSet& labels,
                                   const std::vector<std::string>& sorted_names);
/// Without these and without the name.
[[nodiscard]] LabelSet without_labels(const LabelSet& labels,
                                      const std::vector<std::string>& sorted_names);
/// A key that is equal exactly when the labels are.
[[nodiscard]] std::string label_key(const LabelSet& labels);
/// {a="b", c="d"}
[[nodiscard]] std::string labels_text(const LabelSet& labels);

/// Labels that `absent` can give its answer: those that a selector fixes to one value.
[[nodiscard]] LabelSet absent_labels(const Expr& argument);

// ---- numbers
// ---------------------------------------------------------------------------------------------------------

/// The q-quantile by linear interpolation; `values` is reordered. q < 0: -Inf, q > 1: +Inf, NaN
/// when empty.
[[nodiscard]] double quantile_of(double q, std::vector<double>& values);

/// One arithmetic or comparison between numbers. `keep`: whether a filter lets the left one through
/// (comparisons).
[[nodiscard]] double apply(BinaryOp op, double left, double right, bool& keep) noexcept;

[[nodiscard]] FloatHistogram to_float(const HistogramRef& value);
[[nodiscard]] FloatHistogram difference(const HistogramRef& later, const HistogramRef& earlier);
[[nodiscard]] bool was_reset(const HistogramRef& later, const HistogramRef& earlier);
[[nodiscard]] double count_of(const HistogramRef& value) noexcept;

[[nodiscard]] net::Error execution_error(std::string sentence);

}  // namespace hms::collector::promql
