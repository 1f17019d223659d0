// Keys of log chunks carry the newest time of their lines, so that a scan from the end meets every
// line that may still be newer than what was found:
//   log_chunk 0x20 | newest time u64 | chunk u32                                          -> chunk
//   log_index 0x21 | last 8 bytes of the trace id | newest time u64 | chunk u32            -> ""
// Order of lines, and what a cursor names: (time, chunk key, row), falling.
#include "collector/store/log_store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <set>

#include "collector/store/log_chunk.h"
#include "collector/store/span_index.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

constexpr uint32_t kMaxLimit = 5'000;
constexpr size_t kLogsPerChunk = 8'000;
constexpr uint64_t kNanosPerDay = 86'400'000'000'000ULL;
constexpr uint32_t kDaysBack = 30, kDaysAhead = 1;
constexpr size_t kKeyBytes = 1 + 8 + 4;

Family family_of(uint64_t time_unix_nanos, uint64_t arrived_unix_nanos) {
  const auto day =
      static_cast<uint32_t>(std::min<uint64_t>(time_unix_nanos / kNanosPerDay, UINT32_MAX - 1));
  const auto today = static_cast<uint32_t>(arrived_unix_nanos / kNanosPerDay);
  return Family{day + kDaysBack < today || day > today + kDaysAhead ? today : day};
}

std::string log_chunk_key(uint64_t newest, uint32_t chunk) {
  std::string key = table_key(Table::log_chunk);
  append_be64(key, newest);
  append_be32(key, chunk);
  return key;
}

std::string log_index_prefix(const telemetry::TraceId& id) {
  std::string key = table_key(Table::log_index);
  key.append(reinterpret_cast<const char*>(id.bytes.data()) + 8, 8);
  return key;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// `needle` is in lower case already.
bool contains_folded(std::string_view text, std::string_view needle) {
  return std::search(text.begin(), text.end(), needle.begin(), needle.end(),
                     [](char a, char b) { return lower(a) == b; }) != text.end();
}

/// Place of a line in the falling order.
struct Place {
  uint64_t time = 0;
  uint32_t day = 0;
  uint64_t newest = 0;  // of its chunk
  uint32_t chunk = 0;
  uint32_t row = 0;                                               // rows rise while times fall
  [[nodiscard]] bool before(const Place& other) const noexcept {  // newer first
    if (time != other.time) return time > other.time;
    if (day != other.day) return day > other.day;
    if (newest != other.newest) return newest > other.newest;
    if (chunk != other.chunk) return chunk > other.chunk;
    return row < other.row;
  }
};

std::string cursor_text(const Place& p) {
  std::array<char, 96> text{};
  char* at = text.data();
  for (const uint64_t part :
       {p.time, uint64_t{p.day}, p.newest, uint64_t{p.chunk}, uint64_t{p.row}}) {
    if (at != text.data()) *at++ = '-';
    at = std::to_chars(at, text.data() + text.size(), part, 16).ptr;
  }
  return {text.data(), at};
}

bool parse_cursor(std::string_view text, Place& place) {
  std::array<uint64_t, 5> parts{};
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts[i], 16);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (i + 1 == parts.size()) break;
    if (text.empty() || text.front() != '-') return false;
    text.remove_prefix(1);
  }
  if (!text.empty() || parts[1] > UINT32_MAX || parts[3] > UINT32_MAX || parts[4] > UINT32_MAX)
    return false;
  place = {parts[0], static_cast<uint32_t>(parts[1]), parts[2], static_cast<uint32_t>(parts[3]),
           static_cast<uint32_t>(parts[4])};
  return true;
}

class Search {
 public:
  Search(const LogQuery& query, const std::function<bool()>& cancelled)
      : query_(query), cancelled_(cancelled) {
    text_ = query.text;
    std::transform(text_.begin(), text_.end(), text_.begin(), lower);
  }
  void after(const Place& place) {
    after_ = place;
    has_after_ = true;
  }
  net::Result<void> run(const KvReader& reader) {
    auto days = reader.days();
    for (auto day = days.rbegin(); day != days.rend(); ++day) {
      // Lines of odd times are kept with the day they came on (family_of), so no day can be skipped
      // by its date alone.
      const auto scanned =
          query_.trace_id.is_zero() ? scan_day(reader, *day) : scan_trace(reader, *day);
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

  net::Result<void> scan_day(const KvReader& reader, Family day) {
    const std::string begin = table_key(Table::log_chunk);
    net::Result<void> inner;
    const auto scanned = reader.scan(
        day, begin, prefix_end(begin),
        [&](std::string_view key, std::string_view value) {
          if (key.size() != kKeyBytes) return true;
          const uint64_t newest = read_be64(key.substr(1));
          if (newest <= query_.start_unix_nanos || full_beyond(newest)) return false;
          inner = look_into(day, newest, read_be32(key.substr(9)), value);
          return inner.ok();
        },
        true);
    return scanned ? inner : scanned;
  }

  net::Result<void> scan_trace(const KvReader& reader, Family day) {
    const std::string prefix = log_index_prefix(query_.trace_id);
    std::vector<std::pair<uint64_t, uint32_t>> chunks;
    const auto scanned =
        reader.scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
          if (key.size() == prefix.size() + 12)
            chunks.emplace_back(read_be64(key.substr(prefix.size())),
                                read_be32(key.substr(prefix.size() + 8)));
          return true;
        });
    if (!scanned) return scanned;
    for (const auto& [newest, chunk] : chunks) {
      const auto value = reader.get(day, log_chunk_key(newest, chunk));
      if (!value) return value.error();
      if (auto looked = look_into(day, newest, chunk, *value); !looked) return looked;
    }
    return {};
  }

  net::Result<void> look_into(Family day, uint64_t newest, uint32_t number,
                              std::string_view stored) {
    if (cancelled_ && cancelled_())
      return net::Error{net::Code::canceled, net::Side::downstream, false, "log search cancelled"};
    const auto chunk = LogChunk::decode(stored);
    if (!chunk) return chunk.error();
    for (size_t i = 0; i < (*chunk)->size(); ++i) {
      const Place place{(*chunk)->row(i).time, day.day, newest, number, static_cast<uint32_t>(i)};
      if (has_after_ && !after_.before(place)) continue;
      if (fits(**chunk, i)) keep(place, (*chunk)->log(i));
    }
    return {};
  }

  bool fits(const LogChunk& chunk, size_t index) const {
    const LogChunk::Row& row = chunk.row(index);
    if (row.time <= query_.start_unix_nanos || row.time > query_.end_unix_nanos) return false;
    if (!query_.service.empty() && row.service != query_.service) return false;
    if (!query_.level.empty() && row.level != query_.level) return false;
    if (!query_.severity.empty() && row.severity != query_.severity) return false;
    if (!query_.trace_id.is_zero() && row.trace_id != query_.trace_id) return false;
    if (text_.empty() || contains_folded(row.message, text_)) return true;
    const auto attributes = chunk.attributes(index);
    return std::any_of(attributes.begin(), attributes.end(),
                       [this](const StoredAttribute& a) { return contains_folded(a.text, text_); });
  }

  /// Keeps the newest `limit` + 1 lines, in order.
  void keep(const Place& place, StoredLog log) {
    const auto at =
        std::lower_bound(found_.begin(), found_.end(), place,
                         [](const auto& entry, const Place& p) { return entry.first.before(p); });
    if (at == found_.end() && found_.size() > query_.limit) return;
    found_.insert(at, {place, std::move(log)});
    if (found_.size() > query_.limit + 1) found_.pop_back();
  }

  const LogQuery& query_;
  const std::function<bool()>& cancelled_;
  std::string text_;
  Place after_;
  bool has_after_ = false;
  std::vector<std::pair<Place, StoredLog>> found_;
};

class ChunkedLogStore final : public LogStore {
 public:
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch>) override {}
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t, KvWriter&) override {}
  void seal_day(Family day) override { sealed_days_.insert(day); }
  void forget_day(Family) override {}
  net::Result<LogPage> search(const LogQuery& query,
                              const std::function<bool()>& cancelled) const override;

 private:
  void write_chunk(Family day, std::vector<LogSource>& logs, KvWriter& writer);
  const KvReader* reader_ = nullptr;
  std::set<Family> sealed_days_;  // commit thread only
  uint32_t next_chunk_ = 0;       // only has to differ between chunks of the same newest time
};

net::Result<void> ChunkedLogStore::recover(const KvReader& reader) {
  reader_ = &reader;
  // Numbers from the clock's milliseconds on: far fewer chunks than that are written, so no number
  // comes twice within retention (they wrap in 49 days).
  next_chunk_ = static_cast<uint32_t>(net::unix_millis());
  return {};
}

void ChunkedLogStore::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  std::map<Family, std::vector<LogSource>> days;
  for (const AcceptedBatch& batch : group) {
    if (!batch.logs) continue;
    for (const telemetry::LogView& log : batch.logs->logs) {
      Family day = family_of(log.time_unix_nanos, batch.arrived_unix_nanos);
      if (sealed_days_.contains(day)) day = Family::of_unix_nanos(batch.arrived_unix_nanos);
      days[day].push_back({batch.logs.get(), &log});
    }
  }
  for (auto& [day, logs] : days) {
    for (size_t begin = 0; begin < logs.size(); begin += kLogsPerChunk) {
      const size_t end = std::min(begin + kLogsPerChunk, logs.size());
      std::vector<LogSource> part(logs.begin() + static_cast<ptrdiff_t>(begin),
                                  logs.begin() + static_cast<ptrdiff_t>(end));
      write_chunk(day, part, writer);
    }
  }
}

void ChunkedLogStore::write_chunk(Family day, std::vector<LogSource>& logs, KvWriter& writer) {
  const std::string value = encode_log_chunk(logs);  // newest first from here on
  const uint64_t newest = logs.front().log->time_unix_nanos;
  const uint32_t chunk = next_chunk_++;
  const std::string key = log_chunk_key(newest, chunk);
  writer.put(day, key, value);
  std::set<telemetry::TraceId> traces;
  for (const LogSource& source : logs) {
    const telemetry::TraceId& id = source.log->trace_id;
    if (id.is_zero() || !traces.insert(id).second) continue;
    writer.put(day, log_index_prefix(id) + key.substr(1), "");
  }
}

net::Result<LogPage> ChunkedLogStore::search(const LogQuery& asked,
                                             const std::function<bool()>& cancelled) const {
  LogQuery query = asked;
  query.limit = std::clamp<uint32_t>(query.limit, 1, kMaxLimit);
  if (query.end_unix_nanos == 0) query.end_unix_nanos = UINT64_MAX;
  Search search(query, cancelled);
  if (!query.cursor.empty()) {
    Place place;
    if (!parse_cursor(query.cursor, place)) {
      return net::Error{net::Code::bad_message, net::Side::downstream, false,
                        "cursor is not one that /ops/logs gave"};
    }
    search.after(place);
  }
  if (const auto ran = search.run(*reader_); !ran) return ran.error();
  return search.page();
}

}  // namespace

std::unique_ptr<LogStore> make_log_store() { return std::make_unique<ChunkedLogStore>(); }

}  // namespace hms::collector
