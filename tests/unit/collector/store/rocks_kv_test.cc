#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "collector/store/kv.h"
#include "collector/store/span_index.h"
#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;

namespace {

const Family kDay{20'779};
const Family kNextDay{20'780};

std::unique_ptr<Kv> open(const std::string& path) {
  auto kv = open_rocks_kv({path, 32ULL << 20, 8, std::nullopt});
  REQUIRE_MESSAGE(kv.ok(), (kv.ok() ? "" : kv.error().detail));
  return std::move(kv).value();
}

net::Error open_fails(const std::string& path) {
  auto kv = open_rocks_kv({path, 32ULL << 20, 8, std::nullopt});
  REQUIRE_FALSE(kv.ok());
  CHECK(kv.error().detail.find('\n') == std::string::npos);
  return kv.error();
}

void put(Kv& kv, Family family, const std::string& key, const std::string& value) {
  REQUIRE(kv.commit([&](KvWriter& writer) { writer.put(family, key, value); }).ok());
}

std::string keys(const Kv& kv, Family family, const std::string& begin, const std::string& end,
                 bool backwards = false) {
  std::string out;
  REQUIRE(kv.scan(
                family, begin, end,
                [&](std::string_view key, std::string_view) {
                  out.append(key).push_back(' ');
                  return true;
                },
                backwards)
              .ok());
  return out;
}

}  // namespace

TEST_CASE("rocks_kv: what was committed is read back after the database was opened again") {
  const test::TemporaryDirectory directory;
  {
    const auto kv = open(directory / "data");
    put(*kv, kDay, "a", "1");
    put(*kv, Family::meta(), "m", "2");
  }
  const auto kv = open(directory / "data");
  CHECK(kv->get(kDay, "a").value() == "1");
  CHECK(kv->get(Family::meta(), "m").value() == "2");
  CHECK(kv->get(kDay, "b").error().code == net::Code::not_found);
  CHECK(kv->get(kNextDay, "a").error().code == net::Code::not_found);
  CHECK(kv->days() == std::vector<Family>{kDay});
}

TEST_CASE("rocks_kv: a group is written to several families at once") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  REQUIRE(kv->commit([](KvWriter& writer) {
              writer.put(kDay, "a", "1");
              writer.put(kNextDay, "a", "2");
              writer.put(Family::meta(), "x", "3");
              writer.remove(kDay, "never there");
              writer.remove(Family{1}, "no such day");
            }).ok());
  CHECK(kv->get(kDay, "a").value() == "1");
  CHECK(kv->get(kNextDay, "a").value() == "2");
  CHECK(kv->days() == std::vector<Family>{kDay, kNextDay});
  CHECK(kv->stats().commits == 1);
  CHECK(kv->stats().disk_bytes > 0);
}

TEST_CASE(
    "rocks_kv: scans are half open, in both directions, and stop when the visitor has enough") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  REQUIRE(kv->commit([](KvWriter& writer) {
              for (const char* key : {"a", "b", "c", "d"}) writer.put(kDay, key, key);
            }).ok());
  CHECK(keys(*kv, kDay, "", "") == "a b c d ");
  CHECK(keys(*kv, kDay, "b", "d") == "b c ");
  CHECK(keys(*kv, kDay, "b", "d", true) == "c b ");
  CHECK(keys(*kv, kDay, "bb", "") == "c d ");
  CHECK(keys(*kv, kDay, "", "", true) == "d c b a ");
  CHECK(keys(*kv, kDay, "d", "b").empty());
  CHECK(keys(*kv, kNextDay, "", "").empty());
  int seen = 0;
  REQUIRE(
      kv->scan(kDay, "", "", [&](std::string_view, std::string_view) { return ++seen < 2; }).ok());
  CHECK(seen == 2);
}

TEST_CASE(
    "rocks_kv: a dropped day is gone, also after opening again, and a reader of it is not "
    "disturbed") {
  const test::TemporaryDirectory directory;
  {
    const auto kv = open(directory.path());
    put(*kv, kDay, "a", "1");
    put(*kv, kNextDay, "b", "2");
    bool finished = false;
    REQUIRE(kv->scan(kDay, "", "", [&](std::string_view key, std::string_view) {
                REQUIRE(kv->drop_day(kDay).ok());
                CHECK(key == "a");
                finished = true;
                return true;
              }).ok());
    CHECK(finished);
    CHECK(kv->get(kDay, "a").error().code == net::Code::not_found);
    CHECK(kv->drop_day(kDay).ok());
    CHECK_FALSE(kv->drop_day(Family::meta()).ok());
  }
  const auto kv = open(directory.path());
  CHECK(kv->days() == std::vector<Family>{kNextDay});
}

TEST_CASE("rocks_kv: a reader of one pass sees the same and leaves the cache as it was") {
  const test::TemporaryDirectory directory;
  constexpr int kValues = 128;
  {
    const auto kv = open(directory.path());
    for (int i = 0; i < kValues; ++i) {
      std::string noise;  // nothing to pack
      uint64_t state = static_cast<uint64_t>(i) + 1;
      while (noise.size() < 32'768) {
        state = state * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
        noise.append(reinterpret_cast<const char*>(&state), sizeof(state));
      }
      put(*kv, kDay, std::to_string(1'000 + i), noise);
    }
  }
  const auto kv = open(directory.path());  // from its log into table files
  const auto read_all = [](const KvReader& reader) {
    uint64_t bytes = 0;
    REQUIRE(reader
                .scan(kDay, "", "",
                      [&](std::string_view, std::string_view value) {
                        bytes += value.size();
                        return true;
                      })
                .ok());
    CHECK(reader.get(kDay, "1007").value().size() == 32'768);
    return bytes;
  };
  const auto one_pass = kv->one_pass();
  const uint64_t before = kv->stats().cache_bytes;
  CHECK(read_all(*one_pass) == kValues * 32'768);
  CHECK(kv->stats().cache_bytes < before + 512 * 1024);  // table indexes may stay
  CHECK(read_all(*kv) == kValues * 32'768);
  CHECK(kv->stats().cache_bytes > before + 3 * 1024 * 1024);
}

TEST_CASE(
    "rocks_kv: the trace index, which is written with a hint, bears ranges that are removed "
    "between") {
  const test::TemporaryDirectory directory;
  std::mt19937_64 random(3);
  const auto some_of_a_chunk = [&random](KvWriter& writer, uint32_t chunk) {
    for (int i = 0; i < 200; ++i)
      writer.put(kDay, trace_index_key(random() % 100'000 << 40, chunk), "");
  };
  const auto sorted = [](const Kv& kv) {
    size_t count = 0;
    std::string last;
    const std::string index = table_key(Table::trace_index);
    CHECK(kv.scan(kDay, index, prefix_end(index), [&](std::string_view key, std::string_view) {
              CHECK(last < key);
              last = key;
              return ++count > 0;
            }).ok());
    return count;
  };
  size_t expected = 0;
  {
    const auto kv = open(directory / "data");
    for (uint32_t chunk = 1; chunk <= 20; ++chunk) {
      REQUIRE(kv->commit([&](KvWriter& writer) { some_of_a_chunk(writer, chunk); }).ok());
      if (chunk % 5 == 0) {
        // As retention does when a signal's part of a day goes.
        const Table first = chunk % 10 == 0 ? Table::span_chunk : Table::trace_index;
        REQUIRE(kv->commit([&](KvWriter& writer) {
                    writer.remove_range(kDay, table_key(first), table_key(Table::log_chunk));
                    some_of_a_chunk(writer, chunk + 100);
                  }).ok());
      }
    }
    expected = sorted(*kv);
    CHECK(expected > 190);
    CHECK(expected <= 200);
  }
  CHECK(sorted(*open(directory / "data")) == expected);
}

TEST_CASE("rocks_kv: a range that begins with a whole key of the trace index is refused") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  const std::string key = table_key(Table::trace_index) + std::string(12, 'k');
  const auto put = [&](KvWriter& writer) { writer.put(kDay, key, ""); };
  REQUIRE(kv->commit(put).ok());
  const auto refused = kv->commit(
      [&](KvWriter& writer) { writer.remove_range(kDay, key, table_key(Table::trace_summary)); });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().detail.find("whole key of the trace index") != std::string::npos);
  CHECK(kv->get(kDay, key).ok());
  REQUIRE(kv->commit(put).ok());  // and the store goes on
  REQUIRE(kv->commit([&](KvWriter& writer) {
              writer.remove_range(kDay, key.substr(0, 12), table_key(Table::trace_summary));
            }).ok());
  CHECK_FALSE(kv->get(kDay, key).ok());
}

TEST_CASE("rocks_kv: a second opener is told that the lock is held and what to do") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  const net::Error error = open_fails(directory.path());
  CHECK(error.code == net::Code::bad_config);
  CHECK(error.detail.find("holds the lock") != std::string::npos);
}

TEST_CASE("rocks_kv: directories that cannot be used are named with the reason") {
  const test::TemporaryDirectory directory;
  CHECK(open_fails(directory / "missing/data").detail.find(directory / "missing") !=
        std::string::npos);
  std::ofstream(directory / "file") << "x";
  CHECK(open_fails(directory / "file").detail.find("is not a directory") != std::string::npos);
  CHECK(open_fails(directory / "file/data").code == net::Code::bad_config);
  CHECK(open_fails("").detail.find("--data") != std::string::npos);
  CHECK(open_fails("/proc/hms-data").code == net::Code::bad_config);
  const auto made = open(directory / "new/");
  CHECK(std::filesystem::is_directory(directory / "new"));
}

TEST_CASE("rocks_kv: a directory without write permission is refused") {
  if (::geteuid() == 0) return;  // root may write anywhere
  const test::TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "data").c_str(), 0500) == 0);
  CHECK(open_fails(directory / "data").detail.find("not writable") != std::string::npos);
}

TEST_CASE("rocks_kv: a damaged database is refused with one sentence and left as it is") {
  const test::TemporaryDirectory directory;
  {
    const auto kv = open(directory.path());
    put(*kv, kDay, "a", "1");
  }
  SUBCASE("CURRENT is gone") {
    std::filesystem::remove(directory / "CURRENT");
    CHECK(open_fails(directory.path()).code == net::Code::corrupt);
  }
  SUBCASE("CURRENT names nothing") {
    std::ofstream(directory / "CURRENT") << "MANIFEST-999999\n";
    CHECK_FALSE(open_fails(directory.path()).detail.empty());
  }
}

TEST_CASE("rocks_kv: a log cut in its last record, as a crash leaves it, is taken up to there") {
  const test::TemporaryDirectory directory;
  {
    const auto kv = open(directory.path());
    put(*kv, kDay, "kept", std::string(1000, 'v'));
    put(*kv, kDay, "cut", std::string(1000, 'v'));
  }
  std::string log;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() == ".log" && entry.file_size() > 2000) log = entry.path();
  }
  REQUIRE_FALSE(log.empty());
  std::filesystem::resize_file(log, std::filesystem::file_size(log) - 500);
  const auto kv = open(directory.path());
  CHECK(kv->get(kDay, "kept").ok());
  CHECK(kv->get(kDay, "cut").error().code == net::Code::not_found);
}

TEST_CASE("rocks_kv: more days than can be are refused, and the group with them") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  const auto result = kv->commit([](KvWriter& writer) {
    for (uint32_t day = 0; day < 9; ++day) writer.put(Family{day}, "a", "1");
  });
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == net::Code::too_large);
  CHECK(kv->get(Family{0}, "a").error().code == net::Code::not_found);
}

namespace {

/// While it lives no file may grow: every write to the disk fails, as on a broken one.
class NoFileGrows {
 public:
  NoFileGrows() {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none{1, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoFileGrows() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

/// Commits until it succeeds: there is room, but RocksDB may still be busy finding out.
void commit_again(Kv& kv, Family family, const std::string& key) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!kv.commit([&](KvWriter& writer) { writer.put(family, key, "again"); }).ok()) {
    REQUIRE(std::chrono::steady_clock::now() < patience);
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("rocks_kv: a write that the disk fails is told and leaves nothing; a restart heals it") {
  const test::TemporaryDirectory directory;
  const auto kv = open(directory.path());
  put(*kv, kDay, "before", "1");
  {
    const NoFileGrows broken;
    const auto result = kv->commit([](KvWriter& writer) {
      writer.put(kDay, "during", std::string(5000, 'x'));
      writer.put(Family::meta(), "during", "1");
    });
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().may_retry);
    CHECK(kv->failing());
    CHECK(kv->stats().failing);
  }
  const auto again = kv->commit([](KvWriter& writer) { writer.put(kDay, "after", "1"); });
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().code == net::Code::io);
  CHECK_FALSE(again.error().may_retry);
  CHECK(again.error().detail.find("restart") != std::string::npos);
  CHECK(kv->get(kDay, "before").value() == "1");
  CHECK(kv->get(kDay, "during").error().code == net::Code::not_found);
}

TEST_CASE("rocks_kv: a disk that is truly full, without any reserve, recovers once there is room") {
  const test::TemporaryDirectory directory;
  if (::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=64m") != 0)
    return;  // needs root
  {
    auto opened = open_rocks_kv({directory / "data", 16ULL << 20, 8, 0});
    REQUIRE(opened.ok());
    Kv& kv = **opened;
    put(kv, kDay, "before", "1");
    {
      std::ofstream ballast(directory / "ballast", std::ios::binary);
      const std::string block(65'536, 'b');
      while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
      }
    }
    int written = 0;
    net::Result<void> result;
    while ((result = kv.commit([&](KvWriter& writer) {
             writer.put(kDay, "n" + std::to_string(written), std::string(200'000, 'x'));
           })).ok())
      ++written;
    CHECK(result.error().code == net::Code::no_space);
    CHECK_FALSE(kv.commit([](KvWriter& writer) { writer.put(kDay, "again", "1"); }).ok());
    CHECK(kv.get(kDay, "before").value() == "1");
    std::filesystem::remove(directory / "ballast");
    commit_again(kv, kDay, "after");
    for (int i = 0; i < written; ++i) CHECK(kv.get(kDay, "n" + std::to_string(i)).ok());
    CHECK(kv.get(kDay, "n" + std::to_string(written)).error().code == net::Code::not_found);
  }
  ::umount2(directory.path().c_str(), MNT_DETACH);
}

TEST_CASE("rocks_kv: below the reserve nothing is written, and the message says so") {
  const test::TemporaryDirectory directory;
  auto opened = open_rocks_kv({directory.path(), 16ULL << 20, 8, UINT64_MAX});
  REQUIRE(opened.ok());
  const auto result = (*opened)->commit([](KvWriter& writer) { writer.put(kDay, "a", "1"); });
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == net::Code::no_space);
  CHECK(result.error().detail.find("the disk is full") != std::string::npos);
}
