// series_index.cc: see series_index.h.
#include "collector/store/series_index.h"

#include <algorithm>

namespace hms::collector {

void SeriesSet::insert(uint32_t id) {
  if (id / 64 >= words_.size()) words_.resize(id / 64 + 1);
  words_[id / 64] |= 1ULL << (id % 64);
}
void SeriesSet::erase(uint32_t id) {
  if (id / 64 < words_.size()) words_[id / 64] &= ~(1ULL << (id % 64));
}

void SeriesIndex::add(uint32_t id, const LabelSet& labels) {
  all_[id] = &labels;
  for (const auto& [name, value] : labels) labels_[name][value].insert(id);
}

void SeriesIndex::remove(uint32_t id, const LabelSet& labels) {
  for (const auto& [name, value] : labels) {
    const auto by_name = labels_.find(name);
    if (by_name == labels_.end()) continue;
    const auto by_value = by_name->second.find(value);
    if (by_value == by_name->second.end()) continue;
    by_value->second.erase(id);
    if (by_value->second.empty()) by_name->second.erase(by_value);
    if (by_name->second.empty()) labels_.erase(by_name);
  }
  all_.erase(id);
}

struct SeriesIndex::Search {
  const SeriesIndex& index;
  bool begun = false;  // before: all series
  SeriesPostings found;
  std::vector<const CompiledMatcher*> unchecked;  // to be looked at on each candidate

  [[nodiscard]] const Values* values_of(const CompiledMatcher& matcher) const {
    const auto by_name = index.labels_.find(matcher.name());
    return by_name == index.labels_.end() ? nullptr : &by_name->second;
  }

  void keep(const SeriesPostings& set) {
    if (begun) {
      found.intersect(set);
    } else {
      found = set.copy();
    }
    begun = true;
  }

  /// The values that alone can match are known.
  void keep_named(const CompiledMatcher& matcher, const std::vector<std::string>& names) {
    std::vector<const SeriesPostings*> sets;
    if (const Values* values = values_of(matcher)) {
      for (const std::string& name : names) {
        if (const auto at = values->find(name); at != values->end()) sets.push_back(&at->second);
      }
    }
    if (sets.size() == 1) {
      keep(*sets.front());
    } else {
      keep(SeriesPostings::united(sets));
    }
  }

  /// Tries the matcher on each value: keeps the series of those that match, or, if series without
  /// the label match too, takes away those that do not.
  void try_values(const CompiledMatcher& matcher) {
    const Values* values = values_of(matcher);
    const bool absent_matches = matcher.matches("");
    if (begun && values != nullptr && values->size() > found.size()) {
      unchecked.push_back(&matcher);
      return;
    }
    std::vector<const SeriesPostings*> sets;
    if (values != nullptr) {
      for (const auto& [value, set] : *values) {
        if (matcher.matches(value) != absent_matches) sets.push_back(&set);
      }
    }
    const SeriesPostings all = SeriesPostings::united(sets);
    if (absent_matches) {
      found.subtract(all);
    } else {
      keep(all);
    }
  }

  void begin_with_all() {
    if (begun) return;
    begun = true;
    for (const auto& [id, labels] : index.all_) found.insert(id);
  }
};

namespace {

void keep_largest(std::vector<Cardinality::Row>& rows, size_t limit) {
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.value != b.value ? a.value > b.value : a.name < b.name;
  });
  if (rows.size() > limit) rows.resize(limit);
}

}  // namespace

Cardinality SeriesIndex::cardinality(size_t limit) const {
  Cardinality out;
  out.series = all_.size();
  for (const auto& [name, values] : labels_) {
    uint64_t bytes = 0;
    for (const auto& [value, ids] : values) {
      bytes += value.size() * ids.size();
      if (name == "__name__") out.series_by_metric.push_back({value, ids.size()});
      out.series_by_pair.push_back({name + "=" + value, ids.size()});
      // Pairs are many: now and then only the largest are carried on.
      if (out.series_by_pair.size() > 4 * limit + 1000) keep_largest(out.series_by_pair, limit);
    }
    out.label_pairs += values.size();
    out.values_by_label.push_back({name, values.size()});
    out.bytes_by_label.push_back({name, bytes});
  }
  for (auto* rows :
       {&out.series_by_metric, &out.values_by_label, &out.bytes_by_label, &out.series_by_pair})
    keep_largest(*rows, limit);
  return out;
}

std::vector<uint32_t> SeriesIndex::find(const std::vector<CompiledMatcher>& matchers) const {
  Search search{*this, false, {}, {}};
  // What is cheap and leaves little first: named values, then those that need trying, then what is
  // taken away.
  const auto each = [&](bool named, bool absent_matches, const auto& apply) {
    for (const CompiledMatcher& matcher : matchers) {
      if ((matcher.candidates() != nullptr) == named && matcher.matches("") == absent_matches)
        apply(matcher);
    }
  };
  const auto try_values = [&](const CompiledMatcher& matcher) { search.try_values(matcher); };
  each(true, false,
       [&](const CompiledMatcher& matcher) { search.keep_named(matcher, *matcher.candidates()); });
  each(false, false, try_values);
  search.begin_with_all();
  each(true, true, try_values);
  each(false, true, [&](const CompiledMatcher& matcher) {
    const auto values = labels_.find(matcher.name());
    if (values == labels_.end()) return;  // all are without the label
    if (matcher.matcher().kind != LabelMatcher::Kind::not_equal) return search.try_values(matcher);
    if (const auto at = values->second.find(matcher.matcher().value); at != values->second.end())
      search.found.subtract(at->second);
  });
  std::vector<uint32_t> out = search.found.numbers();
  if (search.unchecked.empty()) return out;
  std::erase_if(out, [&](uint32_t id) {
    const LabelSet& labels = *all_.at(id);
    return !std::all_of(search.unchecked.begin(), search.unchecked.end(),
                        [&](const CompiledMatcher* matcher) {
                          return matcher->matches(label_value(labels, matcher->name()));
                        });
  });
  return out;
}

}  // namespace hms::collector
