// federated_logs.cc: log lines of the hot days and of the lake as one falling list, page by page.
// Errors: as federated.cc says.
#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "collector/lake/crc32.h"
#include "collector/lake/federated.h"
#include "collector/lake/lake_questions.h"
#include "collector/lake/rows.h"
#include "collector/lake/steadily.h"
#include "collector/store/forwarding.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

// A cursor over both: "m.<time>.<day>.<row>.<lines>.<the hot store's own, or empty>", numbers
// hexadecimal. <time> is that of the last line given, so that a day which goes to the lake between
// two pages is taken up there where it was left in the hot store. <lines> are eight digits each for
// the hot lines of just that time that were given: in the lake they stand in another order, and are
// left out by what they are.
constexpr std::string_view kCursorMark = "m.";
// Lines of one nanosecond before the end of a page. Of more, some come again if their day is rolled
// between the two pages.
constexpr size_t kMaxGiven = 200;

struct LogCursor {
  LakeLogPlace place;
  std::multiset<uint32_t> given;
  std::string hot;
};

void append_hex(std::string& out, uint64_t number, size_t width = 1) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number, 16);
  const auto size = static_cast<size_t>(end - digits);
  out.append(width > size ? width - size : 0, '0');
  out.append(digits, size);
}

bool take_hex(std::string_view& text, char behind, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc() || end == text.data() + text.size() || *end != behind) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return true;
}

std::string cursor_text(const LogCursor& cursor) {
  std::string out(kCursorMark);
  for (const uint64_t part : {cursor.place.time, uint64_t{cursor.place.day}, cursor.place.row}) {
    append_hex(out, part);
    out += '.';
  }
  for (const uint32_t line : cursor.given) append_hex(out, line, 8);
  return out + '.' + cursor.hot;
}

bool take_lines(std::string_view& text, std::multiset<uint32_t>& given) {
  while (!text.empty() && text.front() != '.') {
    uint32_t line = 0;
    const char* const begin = text.data();
    if (text.size() < 8 || given.size() == kMaxGiven ||
        std::from_chars(begin, begin + 8, line, 16).ptr != begin + 8)
      return false;
    given.insert(line);
    text.remove_prefix(8);
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<LogCursor> parse_cursor(std::string_view text) {
  LogCursor out;
  if (text.substr(0, kCursorMark.size()) != kCursorMark) {
    out.hot = text;  // from before there was a lake: "<time>-..."
    uint64_t time = 0;
    if (take_hex(text, '-', time)) out.place.time = time;
    return out;
  }
  text.remove_prefix(kCursorMark.size());
  uint64_t day = 0;
  if (!take_hex(text, '.', out.place.time) || !take_hex(text, '.', day) || day > UINT32_MAX ||
      !take_hex(text, '.', out.place.row) || !take_lines(text, out.given))
    return std::nullopt;
  out.place.day = static_cast<uint32_t>(day);
  out.hot = text;
  return out;
}

// The hot store's cursor of "nothing is left there": kept apart from "from the beginning".
constexpr std::string_view kHotEnded = "end";

/// What a line is, wherever it is kept: the checksum of its row in the lake.
uint32_t line_sum(const StoredLog& log) {
  RowWriter row;
  std::string key;
  log_row(log, row, key);
  return crc32_of(row.bytes());
}

class FederatedLogs final : public Forwarding<LogStore> {
 public:
  FederatedLogs(LogStore& hot, const Lake& lake) : Forwarding(hot), lake_(lake) {}

  /// Also while the lake is empty: the next page may find a day there.
  Result<LogPage> search(const LogQuery& query,
                         const std::function<bool()>& cancelled) const override {
    return steadily(lake_, [&] { return searched(query, cancelled); });
  }

 private:
  using LakeLines = std::vector<std::pair<LakeLogPlace, StoredLog>>;

  Result<LogPage> searched(const LogQuery& asked, const std::function<bool()>& cancelled) const {
    LogQuery query = asked;
    query.limit = std::clamp<uint32_t>(query.limit, 1, 5'000);
    if (query.end_unix_nanos == 0) query.end_unix_nanos = UINT64_MAX;
    const auto cursor = parse_cursor(query.cursor);
    if (!cursor)
      return Error{Code::bad_message, net::Side::downstream, false,
                   "cursor is not one that /ops/logs gave"};
    // All newer ones were given.
    query.end_unix_nanos = std::min(query.end_unix_nanos, cursor->place.time);
    LogPage hot;
    if (cursor->hot != kHotEnded) {
      query.cursor = cursor->hot;
      auto page = hot_.search(query, cancelled);
      if (!page.ok()) return page;
      hot = std::move(page).value();
    }
    LakeWarnings warnings;
    auto lines = lake_logs(lake_, query, cursor->place, query.limit + cursor->given.size() + 1,
                           cancelled, warnings);
    if (!lines.ok()) return std::move(lines).error();
    auto page = merged(query, *cursor, std::move(hot), std::move(lines).value(), cancelled);
    if (page.ok()) page.value().warnings = warnings.sentences();
    return page;
  }

  /// The newest `limit` of both, and where to go on.
  Result<LogPage> merged(LogQuery& query, const LogCursor& cursor, LogPage hot, LakeLines lake,
                         const std::function<bool()>& cancelled) const {
    LogPage out;
    LogCursor next = cursor;
    std::vector<size_t> hot_of_last_time;
    size_t from_hot = 0, from_lake = 0;
    while (out.logs.size() < query.limit &&
           (from_hot < hot.logs.size() || from_lake < lake.size())) {
      const bool take_hot = from_lake == lake.size() ||
                            (from_hot < hot.logs.size() &&
                             hot.logs[from_hot].time_unix_nanos >= lake[from_lake].first.time);
      if (take_hot) {
        give_hot(hot.logs[from_hot++], next, hot_of_last_time, out);
      } else {
        auto& [place, line] = lake[from_lake++];
        if (place.time != next.place.time) hot_of_last_time.clear();
        give_of_lake(place, line, next, out);
      }
    }
    const bool hot_left = from_hot < hot.logs.size() || !hot.cursor.empty();
    if (!hot_left && from_lake == lake.size()) return out;
    if (!hot_left) {
      next.hot = kHotEnded;
    } else if (from_hot == hot.logs.size()) {
      next.hot = hot.cursor;
    } else if (from_hot > 0) {
      // Its cursor names the end of a page: ask for a page that ends where we did.
      query.limit = static_cast<uint32_t>(from_hot);
      auto shorter = hot_.search(query, cancelled);
      if (!shorter.ok()) return shorter;
      next.hot = shorter.value().cursor;
    }
    for (const size_t line : hot_of_last_time) {
      if (next.given.size() < kMaxGiven) next.given.insert(line_sum(out.logs[line]));
    }
    out.cursor = cursor_text(next);
    return out;
  }

  static void give_hot(StoredLog& line, LogCursor& next, std::vector<size_t>& of_last_time,
                       LogPage& out) {
    if (line.time_unix_nanos != next.place.time) {
      next.place = {line.time_unix_nanos, UINT32_MAX, UINT64_MAX};
      next.given.clear();
      of_last_time.clear();
    }
    of_last_time.push_back(out.logs.size());
    out.logs.push_back(std::move(line));
  }

  static void give_of_lake(const LakeLogPlace& place, StoredLog& line, LogCursor& next,
                           LogPage& out) {
    const bool same_time = place.time == next.place.time;
    next.place = place;
    if (!same_time) {
      next.given.clear();
    } else if (!next.given.empty()) {
      const auto known = next.given.find(line_sum(line));
      if (known != next.given.end()) {  // given while its day was hot
        next.given.erase(known);
        return;
      }
    }
    out.logs.push_back(std::move(line));
  }

  const Lake& lake_;
};

}  // namespace

std::unique_ptr<LogStore> federate_logs(LogStore& hot, const Lake& lake) {
  return std::make_unique<FederatedLogs>(hot, lake);
}

}  // namespace hms::collector
