// series_index.cc: see series_index.h.
#include "collector/store/series_index.h"

#include <algorithm>
#include <optional>

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
  for (const auto& [name, value] : labels) {
    Postings& list = labels_[name][value];
    // Rising in all but a recovery out of order.
    if (list.empty() || list.back() < id) {
      list.push_back(id);
    } else {
      list.insert(std::lower_bound(list.begin(), list.end(), id), id);
    }
  }
}

void SeriesIndex::remove(uint32_t id, const LabelSet& labels) {
  for (const auto& [name, value] : labels) {
    const auto by_name = labels_.find(name);
    if (by_name == labels_.end()) continue;
    const auto by_value = by_name->second.find(value);
    if (by_value == by_name->second.end()) continue;
    Postings& list = by_value->second;
    if (const auto at = std::lower_bound(list.begin(), list.end(), id);
        at != list.end() && *at == id)
      list.erase(at);
    if (list.empty()) by_name->second.erase(by_value);
    if (by_name->second.empty()) labels_.erase(by_name);
  }
  all_.erase(id);
}

SeriesIndex::Postings SeriesIndex::candidates(const std::vector<CompiledMatcher>& matchers) const {
  std::optional<Postings> best;
  const auto offer = [&best](Postings&& list) {
    if (!best || list.size() < best->size()) best = std::move(list);
  };
  for (const CompiledMatcher& matcher : matchers) {
    if (matcher.matches("")) continue;  // series without the label match too
    const auto by_name = labels_.find(matcher.name());
    if (by_name == labels_.end()) return {};
    Postings list;
    if (const std::vector<std::string>* values = matcher.candidates()) {
      for (const std::string& value : *values) {
        const auto found = by_name->second.find(value);
        if (found != by_name->second.end())
          list.insert(list.end(), found->second.begin(), found->second.end());
      }
    } else if (!best || best->size() > by_name->second.size()) {
      for (const auto& [value, ids] : by_name->second) {
        if (matcher.matches(value)) list.insert(list.end(), ids.begin(), ids.end());
      }
    } else {
      continue;  // fewer candidates already than values to try
    }
    offer(std::move(list));
    if (best->empty()) return {};
  }
  if (!best) {
    best.emplace();
    for (const auto& [id, labels] : all_) best->push_back(id);
  }
  std::sort(best->begin(), best->end());
  return std::move(*best);
}

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
  std::vector<uint32_t> out = candidates(matchers);
  std::erase_if(out, [&](uint32_t id) {
    const LabelSet& labels = *all_.at(id);
    return !std::all_of(matchers.begin(), matchers.end(), [&](const CompiledMatcher& matcher) {
      return matcher.matches(label_value(labels, matcher.name()));
    });
  });
  return out;
}

}  // namespace hms::collector
