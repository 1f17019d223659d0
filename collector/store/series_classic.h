// series_classic.h: classic Prometheus series (`x_bucket`, `x_sum`, `x_count`) made from stored
// exponential histograms when asked for by name.
//
// Bounds: the semantic conventions' (0.005 ... 10 s) and +Inf. A bucket that lies across a bound is
// counted where its middle lies, so counts stay whole and never fall with time; the bound is
// thereby off by at most half a bucket (1.08 % at scale 5). Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/series_regex.h"
#include "collector/store/series_store.h"

namespace hms::collector {

enum class ClassicPart : uint8_t { bucket, sum, count };
struct ClassicName {
  std::string histogram;  // the name without the suffix
  ClassicPart part = ClassicPart::count;
};
/// "x_bucket" -> {"x", bucket}; nothing for other names.
[[nodiscard]] std::optional<ClassicName> classic_name(std::string_view name);
/// "+Inf" and the bounds, as `le` has them.
[[nodiscard]] const std::vector<std::string>& classic_bounds();

/// For a selector of "x_bucket" and its kin: the name, what to ask of the histograms instead, and
/// what `le` may be.
struct ClassicQuestion {
  ClassicName name;
  std::vector<LabelMatcher> matchers;
  std::vector<std::string> bounds;
};

/// Nothing: the matchers ask for no classic name.
[[nodiscard]] std::optional<ClassicQuestion> classic_question(
    const std::vector<CompiledMatcher>& matchers);
/// A histogram's exemplars under its classic names: each in the first bucket that holds it.
[[nodiscard]] std::vector<ExemplarSeries> classic_exemplars(const LabelSet& histogram,
                                                            const std::vector<Exemplar>& exemplars,
                                                            const ClassicQuestion& question);

/// The classic series of one histogram series (only those whose `le` is in `bounds`, for buckets).
/// Points that were thinned out have stand-ins, so that there are as many as without thinning.
[[nodiscard]] std::vector<Series> classic_series(const Series& histogram, const ClassicName& name,
                                                 const std::vector<std::string>& bounds);
/// Their labels only.
[[nodiscard]] std::vector<LabelSet> classic_labels(const LabelSet& histogram,
                                                   const ClassicName& name,
                                                   const std::vector<std::string>& bounds);

}  // namespace hms::collector
