// Sums of intervals against all points: made, stored, and read back by a store whose day was packed
// by this version or by the one before.
#include "collector/store/series_sums.h"

#include <bit>
#include <limits>
#include <random>

#include "collector/store/series_store_impl.h"
#include "tests/unit/collector/store/series_fixture.h"

using namespace hms::collector;

namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kPast = kNow / kDay * kDay - 2 * kDay;

/// Points with gaps, stale markers and, now and then, things that are no numbers.
std::vector<Sample> random_points(std::mt19937_64& random, int kind) {
  std::vector<Sample> out;
  double value = kind == 1 ? 1e9 : 0;
  for (int64_t t = kPast - 2 * kHour; t < kPast + 8 * kHour;) {
    t += 1 + static_cast<int64_t>(random() % 30'000);
    const uint64_t dice = random() % 2000;
    if (dice == 0) t += 2 * kHour;
    if (dice < 5) value = kind == 1 ? 1e9 : 0;  // a counter begins again
    if (random() % 3 > 0) value += static_cast<double>(random() % 100) / (kind == 2 ? 8 : 1000);
    double stored = value;
    if (dice == 6) stored = stale_marker();
    if (kind == 3 && dice == 7) stored = std::nan("");
    if (kind == 3 && dice == 8) stored = std::numeric_limits<double>::infinity();
    out.push_back({t, stored});
  }
  return out;
}

bool close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::fabs(a - b) <= 1e-9 * std::max(std::fabs(a), std::fabs(b));
}

/// The same by the definitions, each from all points in (from, to].
PointSums plain_sums(const std::vector<Sample>& points, int64_t from, int64_t to) {
  PointSums out;
  long double sum = 0;
  for (const Sample& point : points) {
    if (point.t_millis <= from || point.t_millis > to || is_stale(point.value)) continue;
    if (out.count == 0) out.first = point.value;
    const bool both_nan = std::isnan(out.last) && std::isnan(point.value);
    if (out.count > 0 && point.value != out.last && !both_nan) ++out.changes;
    out.last = point.value;
    out.t_millis = point.t_millis;
    ++out.count;
    sum += static_cast<long double>(point.value);
  }
  out.sum = static_cast<double>(sum);
  const long double mean = sum / static_cast<long double>(out.count);
  long double squares = 0;
  for (const Sample& point : points) {
    if (point.t_millis <= from || point.t_millis > to || is_stale(point.value)) continue;
    const long double distance = static_cast<long double>(point.value) - mean;
    squares += distance * distance;
  }
  out.squares = static_cast<double>(squares);
  return out;
}

bool same(const PointSums& a, const PointSums& b) {
  const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  return a.t_millis == b.t_millis && a.count == b.count && a.changes == b.changes &&
         bits(a.sum) == bits(b.sum) && bits(a.first) == bits(b.first) &&
         bits(a.last) == bits(b.last) && bits(a.squares) == bits(b.squares);
}

/// A day of gauges every ten seconds, of one point a quarter of an hour, and of a histogram.
void fill_past_day(Fixture& f) {
  for (int64_t t = kPast; t < kPast + kDay; t += 600'000) {
    Batch batch;
    for (int64_t u = t; u < t + 600'000; u += 10'000) {
      batch.gauge("level", u, static_cast<double>((u / 10'000) % 977) / 4);
      if (u % 900'000 == 0) batch.gauge("rare", u, static_cast<double>(u % 7));
      if (u % 70'000 == 0) batch.gauge("level", u, 0).stale();
      batch.histogram("took", u - 10'000, u, {0.1});
    }
    f.put(std::move(batch), t + 600'000);
  }
}

void pack(Fixture& f, int years) {
  for (int step = 0; step < 6; ++step) f.maintain(kNow + years * 365 * kDay);
  f.maintain(kNow);
}

std::vector<PointSums> sums_of(const Fixture& f, const std::string& name, int64_t start,
                               int64_t end, const Thinning& intervals, uint64_t most = 1'000'000) {
  SelectLimits limits;
  limits.sums = intervals;
  limits.max_samples = most;
  auto found = f.store->select({{"__name__", LabelMatcher::Kind::equal, name}}, start, end, limits);
  REQUIRE(found.ok());
  REQUIRE(found->size() == 1);
  CHECK(found->front().samples.empty());
  return found->front().sums;
}

/// The rows joined window by window are what all points come to.
void check_windows(const Fixture& f, const std::string& name) {
  const std::vector<Sample> all = f.select(name).front().samples;
  REQUIRE(!all.empty());
  for (const auto& [start, end, intervals] :
       {std::tuple{kPast, kPast + kDay, Thinning{0, kHour}},
        std::tuple{kPast - kHour, kPast + 9 * kHour, Thinning{kPast + 5 * kHour, 2 * kHour}},
        std::tuple{kPast, kPast + 20 * kHour, Thinning{kPast, 600'000}},
        std::tuple{kPast + 1234, kPast + 20 * kHour + 4321, Thinning{kPast + 77, 1'234'567}},
        std::tuple{kPast + 1234, kPast + 20 * kHour + 4321,
                   Thinning{kPast + 20 * kHour + 4321, 20 * kHour + 3087}}}) {
    const std::vector<PointSums> rows = sums_of(f, name, start, end, intervals);
    size_t at = 0;
    const int64_t over = (start - intervals.origin_millis) % intervals.length_millis;
    for (int64_t from = start - over; from < end; from += intervals.length_millis) {
      const int64_t to = std::min(end, from + intervals.length_millis);
      const PointSums wanted = plain_sums(all, std::max(from, start), to);
      PointSums got;
      for (; at < rows.size() && rows[at].t_millis <= to; ++at) {
        if (got.count == 0) got.first = rows[at].first;
        got.changes += rows[at].changes + (got.count > 0 && rows[at].first != got.last ? 1 : 0);
        got.last = rows[at].last;
        got.count += rows[at].count;
        got.sum += rows[at].sum;
      }
      CHECK(got.count == wanted.count);
      CHECK(got.changes == wanted.changes);
      CHECK(close(got.sum, wanted.sum));
      CHECK((got.count == 0 || (got.first == wanted.first && got.last == wanted.last)));
    }
    CHECK(at == rows.size());
  }
}

}  // namespace

TEST_CASE("series sums: a row is what all points of its interval come to, whatever they are") {
  std::mt19937_64 random(31);
  for (int round = 0; round < 12; ++round) {
    const std::vector<Sample> points = random_points(random, round % 4);
    for (const Thinning& intervals : {Thinning{0, kHour}, Thinning{0, 60'000},
                                      Thinning{kPast + 12'345, 777'777}, Thinning{-3, 1}}) {
      std::vector<PointSums> rows;
      add_sums(points, intervals, rows);
      REQUIRE(!rows.empty());
      uint64_t total = 0;
      for (const PointSums& row : rows) {
        const int64_t distance = row.t_millis - intervals.origin_millis;
        const int64_t end =
            row.t_millis + (intervals.length_millis - (distance % intervals.length_millis)) %
                               intervals.length_millis;
        const PointSums wanted = plain_sums(points, end - intervals.length_millis, end);
        REQUIRE(row.t_millis == wanted.t_millis);
        CHECK(row.count == wanted.count);
        CHECK(row.changes == wanted.changes);
        CHECK(close(row.first, wanted.first));
        CHECK(close(row.last, wanted.last));
        CHECK(close(row.sum, wanted.sum));
        CHECK(close(row.squares, wanted.squares));
        total += row.count;
        if (intervals.length_millis < 60'000 && total > 500) break;
      }
    }
  }
}

TEST_CASE("series sums: what was stored comes back bit for bit, and only what is asked for") {
  std::mt19937_64 random(32);
  for (int round = 0; round < 8; ++round) {
    std::vector<Sample> points = random_points(random, round % 4);
    std::vector<PointSums> rows;
    add_sums(points, {0, round < 4 ? 60'000 : kHour}, rows);
    const std::string stored = pack_sums(rows);
    std::vector<PointSums> read;
    REQUIRE(unpack_sums(stored, INT64_MIN, INT64_MAX, read).ok());
    REQUIRE(read.size() == rows.size());
    for (size_t i = 0; i < rows.size(); ++i) REQUIRE(same(read[i], rows[i]));
    read.clear();
    const size_t middle = rows.size() / 2;
    REQUIRE(unpack_sums(stored, rows[0].t_millis, rows[middle].t_millis, read).ok());
    REQUIRE(read.size() == middle);
    CHECK(same(read.front(), rows[1]));
  }
}

TEST_CASE("series sums: every cut, every flipped bit and too many rows are errors") {
  std::vector<PointSums> rows(kMaxDaySums);
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = {static_cast<int64_t>(i), i, i, static_cast<double>(i) / 3, 1, 2, 0.25};
  std::vector<PointSums> read;
  CHECK(unpack_sums(pack_sums(rows), INT64_MIN, INT64_MAX, read).ok());
  rows.emplace_back();
  CHECK_FALSE(unpack_sums(pack_sums(rows), INT64_MIN, INT64_MAX, read).ok());
  rows.resize(5);
  const std::string stored = pack_sums(rows);
  for (size_t cut = 0; cut < stored.size(); ++cut)
    CHECK_FALSE(unpack_sums(stored.substr(0, cut), INT64_MIN, INT64_MAX, read).ok());
  for (size_t bit = 0; bit < stored.size() * 8; ++bit) {
    std::string flipped = stored;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    CHECK_FALSE(unpack_sums(flipped, INT64_MIN, INT64_MAX, read).ok());
  }
}

TEST_CASE(
    "series store: sums are the same from memory, chunks, a packed day and one with late points") {
  Fixture f;
  fill_past_day(f);
  check_windows(f, "level");
  f.seal();
  check_windows(f, "level");
  check_windows(f, "rare");
  pack(f, 11);
  // By the hour; of the others, and of the histogram's beginning the day before, that there are
  // none.
  CHECK(f.keys(0x35) == 4);
  check_windows(f, "level");
  check_windows(f, "rare");
  f.put(Batch().gauge("level", kPast + 5 * kHour + 1, 1e6));
  check_windows(f, "level");
  f.seal();
  check_windows(f, "level");
  pack(f, 15);
  check_windows(f, "level");
}

TEST_CASE("series store: a long question for sums reads a row an hour, and holds no day's points") {
  Fixture f;
  fill_past_day(f);
  f.seal();
  const Thinning hours{0, kHour};
  // 8,640 points are read and 25 rows held; all of them at once would cross the limit.
  CHECK(sums_of(f, "level", kPast - 1, kPast + kDay, hours, 9'000).size() == 25);
  pack(f, 11);
  CHECK(sums_of(f, "level", kPast - 1, kPast + kDay, hours, 25 * kSumsWeight).size() == 25);
}

TEST_CASE("series store: of points that come every second there are sums by the minute, too") {
  Fixture f;
  for (int64_t t = kPast; t < kPast + 2 * kHour; t += 600'000) {
    Batch batch;
    for (int64_t u = t; u < t + 600'000; u += 1000)
      batch.gauge("level", u, static_cast<double>(u / 1000 % 91));
    f.put(std::move(batch), t + 600'000);
  }
  f.seal();
  pack(f, 11);
  CHECK(f.keys(0x35) == 2);
  const Thinning tens{kPast, 600'000};
  const int64_t end = kPast + 2 * kHour;
  CHECK(sums_of(f, "level", kPast, end, tens, 120 * kSumsWeight).size() == 120);
  check_windows(f, "level");
}

TEST_CASE(
    "series store: a day that an older version packed answers as it is, and gets its sums "
    "meanwhile") {
  Fixture f;
  fill_past_day(f);
  f.seal();
  pack(f, 11);
  const size_t stored = f.keys(0x35);
  const auto as_before = [&] {
    REQUIRE(f.kv.commit([&](KvWriter& writer) {
                  for (const Family day : f.kv.days()) {
                    if (day == Family::meta()) continue;
                    writer.remove_range(day, "\x35", "\x36");
                    if (f.kv.get(day, "\x34").ok()) writer.put(day, "\x34", "\x01");
                  }
                })
                .ok());
  };
  as_before();
  f.restart();
  CHECK(f.keys(0x35) == 0);
  check_windows(f, "level");
  const std::string rare = f.values("rare"), took = f.values("took_seconds");
  const size_t rolled = f.keys(0x33), chunks = f.keys(0x31);
  for (int step = 0; step < 6; ++step) {
    f.maintain(kNow + 12 * 365 * kDay);
    f.maintain(kNow);
    check_windows(f, "level");
  }
  CHECK(f.keys(0x35) == stored);
  CHECK(f.keys(0x33) == rolled);
  CHECK(f.keys(0x31) == chunks);
  CHECK(f.values("rare") == rare);
  CHECK(f.values("took_seconds") == took);
  for (const Family day : f.kv.days()) {
    if (const auto mark = f.kv.get(day, "\x34"); mark.ok()) CHECK(*mark == "\2");
  }
  // A late point before the sums are there: the day is done again as a whole.
  as_before();
  f.restart();
  f.put(Batch().gauge("level", kPast + 5 * kHour + 1, 1e6));
  check_windows(f, "level");
  pack(f, 14);
  pack(f, 16);
  CHECK(f.keys(0x35) == stored);
  check_windows(f, "level");
}
