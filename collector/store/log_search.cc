// Order of lines, and what a cursor names: (time, day, chunk, rank), falling. The chunk of a line
// in the head is the one that it will be in; its rank is how many lines of the same time in that
// chunk came before it. Neither changes when the head becomes a chunk.
#include "collector/store/log_search.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "collector/store/log_chunk.h"
#include "collector/store/log_index.h"
#include "collector/store/log_match.h"
#include "collector/store/span_index.h"

namespace hms::collector {
namespace {

using telemetry::LogBatch;
using telemetry::LogView;

struct Place {
  uint64_t time = 0;
  uint32_t day = 0, chunk = 0, rank = 0;
  [[nodiscard]] bool before(const Place& other) const noexcept {  // newer first
    if (time != other.time) return time > other.time;
    if (day != other.day) return day > other.day;
    if (chunk != other.chunk) return chunk > other.chunk;
    return rank > other.rank;
  }
};

std::string cursor_text(const Place& p) {
  std::array<char, 64> text{};
  char* at = text.data();
  for (const uint64_t part : {p.time, uint64_t{p.day}, uint64_t{p.chunk}, uint64_t{p.rank}}) {
    if (at != text.data()) *at++ = '-';
    at = std::to_chars(at, text.data() + text.size(), part, 16).ptr;
  }
  return {text.data(), at};
}

bool parse_cursor(std::string_view text, Place& place) {
  std::array<uint64_t, 4> parts{};
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts[i], 16);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (i + 1 == parts.size()) break;
    if (text.empty() || text.front() != '-') return false;
    text.remove_prefix(1);
  }
  if (!text.empty() || parts[1] > UINT32_MAX || parts[2] > UINT32_MAX || parts[3] > UINT32_MAX)
    return false;
  place = {parts[0], static_cast<uint32_t>(parts[1]), static_cast<uint32_t>(parts[2]),
           static_cast<uint32_t>(parts[3])};
  return true;
}

/// About what an opened chunk takes.
uint64_t bytes_of(const LogBatch& batch) {
  return (batch.body ? batch.body->size() : 0) + batch.logs.size() * sizeof(LogView) +
         batch.attributes.size() * sizeof(telemetry::Attribute);
}

class Search {
 public:
  Search(const KvReader& reader, LogHeads heads, LogChunkCache& cache, const LogQuery& query,
         const std::function<bool()>& cancelled)
      : reader_(reader),
        heads_(std::move(heads)),
        cache_(cache),
        query_(query),
        match_(query),
        cancelled_(cancelled) {
    std::erase_if(heads_, [this](const auto& entry) {
      const auto& [day, head] = entry;
      return !reader_.get(day, log_head_key(head.chunks.front().number)).ok();
    });
  }
  void after(const Place& place) {
    after_ = place;
    has_after_ = true;
  }
  net::Result<void> run() {
    auto days = reader_.days();
    for (auto day = days.rbegin(); day != days.rend(); ++day) {
      // Lines of odd times are kept with the day they came on (chunk_days.h), so no day can be
      // skipped by its date alone.
      look_into_head(*day);
      const auto scanned = query_.trace_id.is_zero() ? scan_day(*day) : scan_trace(*day);
      if (!scanned) return scanned.error();
    }
    return {};
  }
  LogPage page() {
    LogPage page;
    if (found_.size() > query_.limit) {
      found_.resize(query_.limit);
      page.cursor = cursor_text(found_.back().first);
    }
    for (auto& [place, log] : found_) page.logs.push_back(std::move(log));
    return page;
  }

 private:
  /// True once no chunk whose newest line is `newest` can add to the page (one more than the limit
  /// is kept, to know whether there is a next page).
  bool full_beyond(uint64_t newest) const {
    return found_.size() > query_.limit && found_.back().first.time > newest;
  }

  net::Result<void> scan_day(Family day) {
    const std::string begin = table_key(Table::log_filter);
    // Nothing that fits the page is newer than the end or the cursor; older chunks may still hold
    // lines that are.
    net::Result<void> inner;
    const auto scanned = reader_.scan(
        day, begin, prefix_end(begin),
        [&](std::string_view key, std::string_view filter) {
          if (key.size() != kLogChunkKeyBytes) return true;
          const uint64_t newest = read_be64(key.substr(1));
          if (newest <= query_.start_unix_nanos || full_beyond(newest)) return false;
          if (match_.needs().may_match(filter))
            inner = look_into(day, newest, read_be32(key.substr(9)));
          return inner.ok() && !was_cancelled(inner);
        },
        true);
    return scanned ? inner : scanned;
  }

  net::Result<void> scan_trace(Family day) {
    const std::string prefix = log_index_prefix(query_.trace_id);
    std::vector<std::pair<uint64_t, uint32_t>> chunks;
    const auto scanned =
        reader_.scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
          if (key.size() == prefix.size() + 12)
            chunks.emplace_back(read_be64(key.substr(prefix.size())),
                                read_be32(key.substr(prefix.size() + 8)));
          return true;
        });
    if (!scanned) return scanned;
    for (const auto& [newest, chunk] : chunks) {
      if (auto looked = look_into(day, newest, chunk); !looked) return looked;
    }
    return {};
  }

  bool was_cancelled(net::Result<void>& outcome) const {
    if (!cancelled_ || !cancelled_()) return false;
    outcome = net::Error{net::Code::canceled, net::Side::downstream, false, "log search cancelled"};
    return true;
  }

  net::Result<std::shared_ptr<const LogBatch>> open(Family day, uint64_t newest, uint32_t number) {
    const LogChunkCache::Key key{day, {newest, number}};
    if (auto cached = cache_.find(key)) return cached;
    const auto stored = reader_.get(day, log_key(Table::log_chunk, newest, number));
    if (!stored) return stored.error();
    auto opened = decode_log_chunk(*stored);
    if (opened) cache_.put(key, *opened, bytes_of(**opened));
    return opened;
  }

  net::Result<void> look_into(Family day, uint64_t newest, uint32_t number) {
    net::Result<void> outcome;
    if (was_cancelled(outcome)) return outcome;
    const auto chunk = open(day, newest, number);
    if (!chunk) return chunk.error();
    const auto& logs = (*chunk)->logs;
    for (size_t run = 0; run < logs.size();) {  // of equal times, last arrived first
      size_t end = run + 1;
      while (end < logs.size() && logs[end].time_unix_nanos == logs[run].time_unix_nanos) ++end;
      for (size_t i = run; i < end; ++i) {
        const auto rank = static_cast<uint32_t>(end - 1 - i);
        offer({logs[i].time_unix_nanos, day.day, number, rank}, **chunk, logs[i]);
      }
      run = end;
    }
    return {};
  }

  void look_into_head(Family day) {
    const auto head = heads_.find(day);
    if (head == heads_.end()) return;
    std::unordered_map<uint64_t, uint32_t> ranks;
    for (const auto& part : head->second.parts) {
      for (const uint32_t row : part->rows) {
        const LogView& log = part->batch->logs[row];
        const uint32_t rank = ranks[log.time_unix_nanos]++;
        offer({log.time_unix_nanos, day.day, head->second.epoch, rank}, *part->batch, log);
      }
    }
  }

  /// Keeps the newest `limit` + 1 lines that fit, in order.
  void offer(const Place& place, const LogBatch& batch, const LogView& log) {
    if (place.time <= query_.start_unix_nanos || place.time > query_.end_unix_nanos) return;
    if (has_after_ && !after_.before(place)) return;
    if (found_.size() > query_.limit && !place.before(found_.back().first)) return;
    if (!match_.fits(batch, log)) return;
    const auto at =
        std::lower_bound(found_.begin(), found_.end(), place,
                         [](const auto& entry, const Place& p) { return entry.first.before(p); });
    found_.insert(at, {place, stored_log(batch, log)});
    if (found_.size() > query_.limit + 1) found_.pop_back();
  }

  const KvReader& reader_;
  LogHeads heads_;
  LogChunkCache& cache_;
  const LogQuery& query_;
  const LogMatch match_;
  const std::function<bool()>& cancelled_;
  Place after_;
  bool has_after_ = false;
  std::vector<std::pair<Place, StoredLog>> found_;
};

}  // namespace

net::Result<LogPage> search_logs(const KvReader& reader, LogHeads heads, LogChunkCache& cache,
                                 const LogQuery& query, const std::function<bool()>& cancelled) {
  Search search(reader, std::move(heads), cache, query, cancelled);
  if (!query.cursor.empty()) {
    Place place;
    if (!parse_cursor(query.cursor, place)) {
      return net::Error{net::Code::bad_message, net::Side::downstream, false,
                        "cursor is not one that /ops/logs gave"};
    }
    search.after(place);
  }
  if (const auto ran = search.run(); !ran) return ran.error();
  return search.page();
}

}  // namespace hms::collector
