#include "collector/store/retention_sweep.h"

#include <utility>

#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

constexpr uint64_t kLookEveryNanos = 60'000'000'000ULL;

std::string mark_key(Table chunks) {
  std::string key = table_key(Table::retention_mark);
  key.push_back(static_cast<char>(chunks));
  return key;
}

uint64_t stored_mark(const KvReader& reader, Family day, Table chunks) {
  const auto stored = reader.get(day, mark_key(chunks));
  return stored.ok() && stored->size() == 8 ? read_be64(*stored) : 0;
}

bool has_series(const KvReader& reader, Family day) {
  const std::string begin = table_key(Table::series_definition);
  bool found = false;
  const auto scanned =
      reader.scan(day, begin, std::string(1, static_cast<char>(begin.front() + 1)),
                  [&found](std::string_view, std::string_view) { return !(found = true); });
  return found || !scanned.ok();
}

}  // namespace

bool is_swept(const KvReader& reader, Family day, uint32_t today, const Retention& retention) {
  const uint32_t age = today > day.day ? today - day.day : 0;
  for (const auto& [rules, chunks] : {std::pair{retention.traces(), Table::span_chunk},
                                      std::pair{retention.logs(), Table::log_chunk}}) {
    const uint64_t wanted = rules.state_at(age);
    if (wanted != 0 && stored_mark(reader, day, chunks) != wanted) return false;
  }
  return age <= retention.metrics() || !has_series(reader, day);
}

uint64_t RetentionSweep::mark_of(const KvReader& reader, Family day) {
  const auto known = marks_.find(day);
  if (known != marks_.end()) return known->second;
  return marks_[day] = stored_mark(reader, day, chunks_);
}

void RetentionSweep::note_written(Family day, uint64_t now, KvWriter& writer) {
  const Family today = Family::of_unix_nanos(now);
  if (day >= today || rules_.state_at(today.day - day.day) == 0) return;
  marks_[day] = 0;
  writer.remove(day, mark_key(chunks_));
  if (pass_ && pass_->day == day) pass_.reset();
  look_after_ = 0;
}

void RetentionSweep::forget(Family day) {
  marks_.erase(day);
  if (pass_ && pass_->day == day) pass_.reset();
}

SweepCounters RetentionSweep::counters() const {
  return {days_.load(std::memory_order_relaxed), records_.load(std::memory_order_relaxed),
          corrupt_.load(std::memory_order_relaxed)};
}

std::optional<RetentionSweep::Pass> RetentionSweep::next_pass(const KvReader& reader,
                                                              uint32_t today,
                                                              const SweptStore& store) {
  for (const Family day : reader.days()) {
    if (day.day >= today) break;
    const uint32_t age = today - day.day;
    const uint64_t state = rules_.state_at(age);
    if (state == 0 || mark_of(reader, day) == state) continue;
    if (!store.at_rest(day)) {
      look_after_ = 0;  // soon
      continue;
    }
    return Pass{day, state, age, store.next_number(day), table_key(chunks_), 0};
  }
  return std::nullopt;
}

void RetentionSweep::step(const KvReader& reader, uint64_t now, const SweptStore& store,
                          KvWriter& writer) {
  if (pass_ && !store.at_rest(pass_->day)) pass_.reset();
  if (!pass_) {
    if (now < look_after_) return;
    look_after_ = now + kLookEveryNanos;
    pass_ = next_pass(reader, Family::of_unix_nanos(now).day, store);
    if (!pass_) return;
  }
  if (rules_.drops_all(pass_->age)) {
    writer.remove_range(pass_->day, table_key(chunks_),
                        std::string(1, static_cast<char>(tables_end_)));
    return finish(writer);
  }
  if (!sweep_some(reader, store, writer)) finish(writer);
}

/// False when all chunks were looked at.
bool RetentionSweep::sweep_some(const KvReader& reader, const SweptStore& store, KvWriter& writer) {
  const uint64_t begin = net::monotonic_nanos();
  const std::string end(1, static_cast<char>(static_cast<uint8_t>(chunks_) + 1));
  bool more = false;
  const auto scanned =
      reader.scan(pass_->day, pass_->from, end, [&](std::string_view key, std::string_view value) {
        const auto gone = store.rewrite(pass_->day, key, value, pass_->limit, pass_->age, writer);
        if (gone.ok()) {
          pass_->records += *gone;
        } else {
          corrupt_.fetch_add(1, std::memory_order_relaxed);
          net::log_error("a chunk past its retention cannot be read and is left as it is",
                         {{"day", pass_->day.day}, {"error", gone.error().detail}});
        }
        pass_->from = std::string(key) + '\0';
        more = net::monotonic_nanos() - begin >= kStepNanos;
        return !more;
      });
  store.finish_step(pass_->day, writer);
  if (scanned.ok()) return more;
  net::log_error("a day past its retention cannot be read",
                 {{"day", pass_->day.day}, {"error", scanned.error().detail}});
  return false;
}

void RetentionSweep::finish(KvWriter& writer) {
  std::string state;
  append_be64(state, pass_->state);
  writer.put(pass_->day, mark_key(chunks_), state);
  marks_[pass_->day] = pass_->state;
  days_.fetch_add(1, std::memory_order_relaxed);
  records_.fetch_add(pass_->records, std::memory_order_relaxed);
  net::log_info(rules_.drops_all(pass_->age)
                    ? "a day's records of a signal past its retention were dropped"
                    : "records past their service's retention were removed from a day",
                {{"signal", signal_}, {"day", pass_->day.day}, {"records", pass_->records}});
  pass_.reset();
  look_after_ = 0;
}

}  // namespace hms::collector
