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
