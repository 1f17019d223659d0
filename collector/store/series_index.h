// series_index.h: which series have which labels (postings), and on which days they have points.
//
// A selector is an intersection of sets (series_postings.h), from which those that it excludes are
// taken away. Where a matcher would have to be tried on more values than there are candidates, it
// is checked on each candidate instead. Thread: not synchronised; the store locks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/store/series_postings.h"
#include "collector/store/series_regex.h"
#include "collector/store/series_store.h"

namespace hms::collector {

/// A set of series numbers.
class SeriesSet {
 public:
  void insert(uint32_t id);
  void erase(uint32_t id);
  [[nodiscard]] bool empty() const noexcept { return words_.empty(); }  // nothing was ever in it
  [[nodiscard]] bool contains(uint32_t id) const noexcept {
    return id / 64 < words_.size() && ((words_[id / 64] >> (id % 64)) & 1) != 0;
  }

 private:
  std::vector<uint64_t> words_;
};

class SeriesIndex {
 public:
  /// `labels` must stay alive. Numbers rise.
  void add(uint32_t id, const LabelSet& labels);
  void remove(uint32_t id, const LabelSet& labels);
  /// Numbers of the series that match, rising.
  [[nodiscard]] std::vector<uint32_t> find(const std::vector<CompiledMatcher>& matchers) const;
  [[nodiscard]] Cardinality cardinality(size_t limit) const;

 private:
  using Values = std::map<std::string, SeriesPostings, std::less<>>;
  /// What a question has come to, from matcher to matcher.
  struct Search;
  std::unordered_map<std::string, Values> labels_;
  std::map<uint32_t, const LabelSet*> all_;
};

}  // namespace hms::collector
