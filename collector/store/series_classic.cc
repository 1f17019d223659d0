// series_classic.cc: see series_classic.h.
#include "collector/store/series_classic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace hms::collector {
namespace {

struct Bound {
  const char* text;
  double value;
};
// Semantic conventions 1.x, http.server.request.duration.
constexpr std::array<Bound, 15> kBounds = {{{"0.005", 0.005},
                                            {"0.01", 0.01},
                                            {"0.025", 0.025},
                                            {"0.05", 0.05},
                                            {"0.075", 0.075},
                                            {"0.1", 0.1},
                                            {"0.25", 0.25},
                                            {"0.5", 0.5},
                                            {"0.75", 0.75},
                                            {"1", 1},
                                            {"2.5", 2.5},
                                            {"5", 5},
                                            {"7.5", 7.5},
                                            {"10", 10},
                                            {"+Inf", std::numeric_limits<double>::infinity()}}};

std::string_view suffix_of(ClassicPart part) {
  switch (part) {
    case ClassicPart::bucket:
      return "_bucket";
    case ClassicPart::sum:
      return "_sum";
    case ClassicPart::count:
      return "_count";
  }
  return {};
}

void put(LabelSet& labels, const std::string& name, std::string value) {
  const auto at =
      std::lower_bound(labels.begin(), labels.end(), name,
                       [](const auto& label, const std::string& key) { return label.first < key; });
  if (at != labels.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    labels.insert(at, {name, std::move(value)});
  }
}

LabelSet renamed(const LabelSet& labels, const ClassicName& name) {
  LabelSet out = labels;
  put(out, "__name__", name.histogram + std::string(suffix_of(name.part)));
  return out;
}

/// Index of the last of `scale`'s buckets that counts as at or below the bound: middle = 2^((i +
/// 0.5) / 2^scale).
double last_bucket_below(double bound, int32_t scale) {
  return std::floor(std::log2(bound) * std::exp2(scale) - 0.5);
}

double count_at_most(const telemetry::Histogram& histogram, double bound) {
  if (std::isinf(bound)) return static_cast<double>(histogram.count);
  uint64_t count = histogram.zero_count;
  for (const auto& bucket : histogram.negative) count += bucket.count;
  const double last = last_bucket_below(bound, histogram.scale);
  for (const auto& bucket : histogram.positive) {
    if (bucket.index > last) break;
    count += bucket.count;
  }
  return static_cast<double>(count);
}

/// As many points as were left out before `next`, evenly spread behind the one before and as large.
/// A window ends at none of them; a rate counts them to know how close its points stand.
void put_stand_ins(std::vector<Sample>& samples, const HistogramSample& next) {
  const Sample before = samples.back();
  const int64_t gap = next.t_millis - before.t_millis;
  for (int64_t i = 1; i <= next.left_out; ++i)
    samples.push_back({before.t_millis + gap * i / (int64_t{next.left_out} + 1), before.value});
}

}  // namespace

std::optional<ClassicName> classic_name(std::string_view name) {
  for (const ClassicPart part : {ClassicPart::bucket, ClassicPart::sum, ClassicPart::count}) {
    const std::string_view suffix = suffix_of(part);
    if (name.size() > suffix.size() && name.ends_with(suffix))
      return ClassicName{std::string(name.substr(0, name.size() - suffix.size())), part};
  }
  return std::nullopt;
}

const std::vector<std::string>& classic_bounds() {
  static const std::vector<std::string> kTexts = [] {
    std::vector<std::string> out;
    for (const Bound& bound : kBounds) out.emplace_back(bound.text);
    return out;
  }();
  return kTexts;
}

std::vector<LabelSet> classic_labels(const LabelSet& histogram, const ClassicName& name,
                                     const std::vector<std::string>& bounds) {
  const LabelSet base = renamed(histogram, name);
  if (name.part != ClassicPart::bucket) return {base};
  std::vector<LabelSet> out;
  for (const std::string& bound : bounds) {
    out.push_back(base);
    put(out.back(), "le", bound);
  }
  return out;
}

std::optional<ClassicQuestion> classic_question(const std::vector<CompiledMatcher>& matchers) {
  std::optional<ClassicQuestion> out;
  for (const CompiledMatcher& matcher : matchers) {
    if (matcher.name() != "__name__" || matcher.matcher().kind != LabelMatcher::Kind::equal)
      continue;
    const auto name = classic_name(matcher.matcher().value);
    if (!name) return std::nullopt;
    out = ClassicQuestion{*name, {{"__name__", LabelMatcher::Kind::equal, name->histogram}}, {}};
  }
  if (!out) return std::nullopt;
  for (const std::string& bound : classic_bounds()) {
    const bool wanted =
        std::all_of(matchers.begin(), matchers.end(), [&](const CompiledMatcher& matcher) {
          return matcher.name() != "le" ||
                 matcher.matches(out->name.part == ClassicPart::bucket ? bound : std::string());
        });
    if (wanted) out->bounds.push_back(bound);
  }
  for (const CompiledMatcher& matcher : matchers) {
    if (matcher.name() != "__name__" && matcher.name() != "le")
      out->matchers.push_back(matcher.matcher());
  }
  return out;
}

std::vector<Series> classic_series(const Series& histogram, const ClassicName& name,
                                   const std::vector<std::string>& bounds) {
  std::vector<Series> out;
  for (LabelSet& labels : classic_labels(histogram.labels, name, bounds)) {
    Series series;
    double bound = 0;
    if (name.part == ClassicPart::bucket) {
      for (const auto& [key, value] : labels) {
        if (key != "le") continue;
        for (const Bound& known : kBounds) {
          if (value == known.text) bound = known.value;
        }
      }
    }
    series.labels = std::move(labels);
    series.samples = histogram.samples;  // stale markers
    for (const HistogramSample& sample : histogram.histograms) {
      if (sample.left_out > 0 && &sample != &histogram.histograms.front())
        put_stand_ins(series.samples, sample);
      const telemetry::Histogram& value = *sample.value;
      const double number = name.part == ClassicPart::sum     ? value.sum
                            : name.part == ClassicPart::count ? static_cast<double>(value.count)
                                                              : count_at_most(value, bound);
      series.samples.push_back({sample.t_millis, number});
    }
    if (!histogram.samples.empty()) {
      std::stable_sort(series.samples.begin(), series.samples.end(),
                       [](const Sample& a, const Sample& b) { return a.t_millis < b.t_millis; });
    }
    out.push_back(std::move(series));
  }
  return out;
}

std::vector<ExemplarSeries> classic_exemplars(const LabelSet& histogram,
                                              const std::vector<Exemplar>& exemplars,
                                              const ClassicQuestion& question) {
  if (question.name.part != ClassicPart::bucket)
    return {{renamed(histogram, question.name), exemplars}};
  std::map<std::string_view, std::vector<Exemplar>> by_bound;
  for (const Exemplar& exemplar : exemplars) {
    const auto bound = std::find_if(kBounds.begin(), kBounds.end(),
                                    [&](const Bound& one) { return exemplar.value <= one.value; });
    if (bound != kBounds.end()) by_bound[bound->text].push_back(exemplar);
  }
  std::vector<ExemplarSeries> out;
  for (const std::string& text : question.bounds) {
    const auto found = by_bound.find(text);
    if (found == by_bound.end()) continue;
    LabelSet labels = renamed(histogram, question.name);
    put(labels, "le", text);
    out.push_back({std::move(labels), std::move(found->second)});
  }
  return out;
}

}  // namespace hms::collector
