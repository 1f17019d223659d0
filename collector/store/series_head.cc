// series_head.cc: see series_head.h.
#include "collector/store/series_head.h"

#include <algorithm>

namespace hms::collector {
namespace {

constexpr size_t kMaxLate = 10'000;
constexpr size_t kLateBytes = 48;

template <class Points>
void sort_and_keep_last(Points& points) {
  const auto by_time = [](const auto& a, const auto& b) { return a.t_millis < b.t_millis; };
  const auto rises = [](const auto& a, const auto& b) { return a.t_millis >= b.t_millis; };
  if (std::adjacent_find(points.begin(), points.end(), rises) == points.end()) return;
  std::stable_sort(points.begin(), points.end(), by_time);
  size_t kept = 0;
  for (size_t i = 1; i < points.size(); ++i) {
    if (points[i].t_millis != points[kept].t_millis) ++kept;
    if (kept != i) points[kept] = std::move(points[i]);
  }
  points.resize(kept + 1);
}

}  // namespace

void merge_points(std::vector<Sample>& samples, std::vector<HistogramSample>& histograms) {
  sort_and_keep_last(samples);
  sort_and_keep_last(histograms);
}

bool SeriesHead::add(const SeriesPoint& point) {
  if (tail_ && point.t_millis < tail_->t_millis) {
    if (late_.size() >= kMaxLate) return false;
    late_.push_back(point);
  } else {
    if (tail_ && point.t_millis > tail_->t_millis) flush_tail();
    tail_ = point;
  }
  first_millis_ = std::min(first_millis_, point.t_millis);
  last_millis_ = std::max(last_millis_, point.t_millis);
  return true;
}

void SeriesHead::flush_tail() {
  if (!tail_) return;
  if (!open_) open_ = std::make_unique<BlockWriter>();
  const auto append = [this](const auto& value) {
    if (!open_->accepts(tail_->t_millis, value)) {
      closed_.push_back(std::make_shared<const Block>(open_->take()));
      closed_bytes_ += closed_.back()->bytes.size() + sizeof(Block);
    }
    open_->add(tail_->t_millis, value);
  };
  if (tail_->histogram) {
    append(*tail_->histogram);
  } else {
    append(tail_->value);
  }
  tail_.reset();
}

size_t SeriesHead::bytes() const noexcept {
  size_t out = closed_bytes_ + late_.size() * kLateBytes;
  if (open_) out += open_->bytes() + sizeof(BlockWriter);
  return out;
}

void SeriesHead::begin_sealing() {
  flush_tail();
  if (open_ && !open_->empty()) closed_.push_back(std::make_shared<const Block>(open_->take()));
  open_.reset();
  std::move(closed_.begin(), closed_.end(), std::back_inserter(sealing_));
  closed_.clear();
  closed_bytes_ = 0;
  // Late points make blocks of their own, after the others: read later, they win.
  std::stable_sort(late_.begin(), late_.end(),
                   [](const auto& a, const auto& b) { return a.t_millis < b.t_millis; });
  BlockWriter writer;
  const auto close = [&] {
    if (!writer.empty()) sealing_.push_back(std::make_shared<const Block>(writer.take()));
  };
  for (size_t i = 0; i < late_.size(); ++i) {
    const SeriesPoint& point = late_[i];
    if (i + 1 < late_.size() && late_[i + 1].t_millis == point.t_millis) continue;
    if (point.histogram) {
      if (!writer.accepts(point.t_millis, *point.histogram)) close();
      writer.add(point.t_millis, *point.histogram);
    } else {
      if (!writer.accepts(point.t_millis, point.value)) close();
      writer.add(point.t_millis, point.value);
    }
  }
  close();
  late_.clear();
}

bool SeriesHead::Snapshot::reaches(int64_t begin, int64_t end) const {
  return std::any_of(blocks.begin(), blocks.end(),
                     [&](const BlockPtr& block) {
                       return block->first_millis < end && block->last_millis >= begin;
                     }) ||
         std::any_of(plain.begin(), plain.end(), [&](const SeriesPoint& point) {
           return point.t_millis < end && point.t_millis >= begin;
         });
}

void SeriesHead::snapshot(int64_t start_millis, int64_t end_millis, Snapshot& out) const {
  if (first_millis_ > end_millis || last_millis_ <= start_millis) return;
  const auto take = [&](const BlockPtr& block) {
    if (block->last_millis > start_millis && block->first_millis <= end_millis)
      out.blocks.push_back(block);
  };
  for (const BlockPtr& block : sealing_) take(block);
  for (const BlockPtr& block : closed_) take(block);
  if (open_ && !open_->empty()) take(std::make_shared<const Block>(open_->peek()));
  const auto take_plain = [&](const SeriesPoint& point) {
    if (point.t_millis > start_millis && point.t_millis <= end_millis) out.plain.push_back(point);
  };
  if (tail_) take_plain(*tail_);
  for (const SeriesPoint& point : late_) take_plain(point);
}

}  // namespace hms::collector
