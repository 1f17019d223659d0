#include "collector/store/rocks_damage.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;

namespace {

constexpr Family kDay{20'000};
constexpr int kKeys = 4000;

std::unique_ptr<Kv> open(const std::string& directory) {
  KvOptions options;
  options.directory = directory;
  auto kv = open_rocks_kv(options);
  REQUIRE_MESSAGE(kv.ok(), (kv.ok() ? "" : kv.error().detail));
  return std::move(kv).value();
}

std::string key_of(int number) {
  std::string digits = std::to_string(number);
  return "key" + std::string(6 - digits.size(), '0') + digits;
}

/// Not to be compressed away.
std::string value_of(int number, int edition) {
  std::string out;
  uint32_t state = static_cast<uint32_t>(number * 31 + edition + 1);
  for (int i = 0; i < 200; ++i) {
    state = state * 1664525 + 1013904223;
    out.push_back(static_cast<char>(state >> 24));
  }
  return out;
}

void put(Kv& kv, int begin, int end, int edition) {
  for (int i = begin; i < end;) {
    const int stop = std::min(end, i + 500);
    REQUIRE(kv.commit([&](KvWriter& writer) {
                for (int k = i; k < stop; ++k) writer.put(kDay, key_of(k), value_of(k, edition));
              }).ok());
    i = stop;
  }
}

std::map<std::string, std::string> all(const Kv& kv, bool backwards = false) {
  std::map<std::string, std::string> out;
  const auto scanned = kv.scan(
      kDay, "", "",
      [&out](std::string_view key, std::string_view value) {
        CHECK(out.emplace(key, value).second);
        return true;
      },
      backwards);
  CHECK_MESSAGE(scanned.ok(), (scanned.ok() ? "" : scanned.error().detail));
  return out;
}

/// The tables of a closed directory, oldest first.
std::vector<std::filesystem::path> tables(const std::string& directory) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".sst" && entry.file_size() > 50'000)
      out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

void overwrite(const std::filesystem::path& path, uint64_t at, size_t bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file << std::string(bytes, 'X');
}

/// One table with all keys: what the log held is written to a table when the store is opened.
void make_one_table(const std::string& directory) {
  put(*open(directory), 0, kKeys, 1);
  (void)open(directory);
  REQUIRE(tables(directory).size() == 1);
}

void check_values(const std::map<std::string, std::string>& found, int edition) {
  for (int i = 0; i < kKeys; ++i) {
    const auto it = found.find(key_of(i));
    if (it != found.end()) CHECK(it->second == value_of(i, edition));
  }
}

}  // namespace

TEST_CASE("rocks_damage: of a table with a wrong checksum all but that block is served on") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto table = tables(directory.path()).front();
  const uint64_t bytes = std::filesystem::file_size(table);
  overwrite(table, bytes / 2, 100);
  size_t left = 0;
  {
    const auto kv = open(directory.path());
    bool backwards = false;
    SUBCASE("read forwards") {}
    SUBCASE("read backwards") { backwards = true; }
    const auto found = all(*kv, backwards);
    left = found.size();
    CHECK(left < kKeys);
    CHECK(left > kKeys - 200);  // one block of 16 KiB
    check_values(found, 1);
    const auto damage = kv->damage();
    REQUIRE(damage.size() == 1);
    CHECK(damage[0].file == table.filename().string());
    CHECK(damage[0].family == kDay);
    CHECK(damage[0].bytes == bytes);
    CHECK(damage[0].records_kept == left);
    CHECK(damage[0].reason.find("checksum") != std::string::npos);
    CHECK(std::filesystem::exists(directory / ("set-aside/" + damage[0].file)));
    put(*kv, kKeys, kKeys + 10, 1);
  }
  const auto kv = open(directory.path());
  CHECK(all(*kv).size() == left + 10);
  CHECK(kv->damage().size() == 1);  // told until the directory is removed
}

TEST_CASE("rocks_damage: a single key in a damaged block is not found, its neighbours are") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto table = tables(directory.path()).front();
  overwrite(table, std::filesystem::file_size(table) / 2, 100);
  const auto kv = open(directory.path());
  int found = 0, missing = 0;
  for (int i = 0; i < kKeys; ++i) {
    const auto value = kv->get(kDay, key_of(i));
    found += value.ok();
    missing += !value.ok() && value.error().code == net::Code::not_found;
  }
  CHECK(found + missing == kKeys);
  CHECK(missing > 0);
  CHECK(missing < 200);
}

TEST_CASE("rocks_damage: a question on a snapshot is told to ask again, and then gets the rest") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto table = tables(directory.path()).front();
  overwrite(table, std::filesystem::file_size(table) / 2, 100);
  const auto kv = open(directory.path());
  const auto none = [](std::string_view, std::string_view) { return true; };
  const auto first = kv->snapshot()->scan(kDay, "", "", none);
  REQUIRE_FALSE(first.ok());
  CHECK(first.error().code == net::Code::corrupt);
  CHECK(first.error().may_retry);
  CHECK(first.error().detail.find(table.filename().string()) != std::string::npos);
  CHECK(first.error().detail.find("day-2024-10-04") != std::string::npos);
  CHECK(first.error().detail.find("ask again") != std::string::npos);
  CHECK(kv->snapshot()->scan(kDay, "", "", none).ok());
}

TEST_CASE("rocks_damage: a table that was cut or is gone does not keep the store from opening") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto table = tables(directory.path()).front();
  SUBCASE("cut") { std::filesystem::resize_file(table, 60'000); }
  SUBCASE("empty") { std::filesystem::resize_file(table, 0); }
  SUBCASE("gone") { std::filesystem::remove(table); }
  SUBCASE("its index is overwritten") {
    const uint64_t bytes = std::filesystem::file_size(table);
    overwrite(table, bytes - 3000, 2900);
  }
  const auto kv = open(directory.path());
  CHECK(all(*kv).empty());
  REQUIRE(kv->damage().size() == 1);
  CHECK(kv->damage()[0].records_kept == 0);
  put(*kv, 0, 10, 2);
  CHECK(all(*kv).size() == 10);
}

TEST_CASE("rocks_damage: what a newer table says is not undone by what an older one still holds") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto older = tables(directory.path()).front();
  {
    const auto kv = open(directory.path());
    put(*kv, 0, kKeys / 4, 2);
    REQUIRE(kv->commit([](KvWriter& writer) {
                for (int i = kKeys / 4; i < kKeys / 2; ++i) writer.remove(kDay, key_of(i));
              }).ok());
  }
  overwrite(older, std::filesystem::file_size(older) * 3 / 4, 100);
  const auto kv = open(directory.path());
  const auto found = all(*kv);
  for (int i = 0; i < kKeys / 4; ++i) REQUIRE(found.at(key_of(i)) == value_of(i, 2));
  for (int i = kKeys / 4; i < kKeys / 2; ++i) REQUIRE(found.count(key_of(i)) == 0);
  CHECK(found.size() > kKeys * 3 / 4 - 200);
  CHECK(kv->damage().size() == 1);
}

TEST_CASE("rocks_damage: a table that others stand on is left out by a rebuild at the next start") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  put(*open(directory.path()), 0, kKeys, 2);
  (void)open(directory.path());
  const auto both = tables(directory.path());
  REQUIRE(both.size() == 2);
  overwrite(both[1], std::filesystem::file_size(both[1]) / 2, 100);
  {
    const auto kv = open(directory.path());
    const auto scanned = kv->scan(kDay, "", "", [](auto, auto) { return true; });
    REQUIRE_FALSE(scanned.ok());
    CHECK(scanned.error().detail.find("at the next start") != std::string::npos);
    put(*kv, kKeys, kKeys + 10, 2);  // writing goes on
  }
  const auto kv = open(directory.path());
  const auto found = all(*kv);
  CHECK(found.size() == kKeys + 10);
  int newer = 0;
  for (int i = 0; i < kKeys; ++i) newer += found.at(key_of(i)) == value_of(i, 2);
  CHECK(newer > kKeys - 200);
  CHECK(kv->damage().size() == 1);
}

TEST_CASE(
    "rocks_damage: of a log that was overwritten in its middle the records beyond are taken") {
  const test::TemporaryDirectory directory;
  put(*open(directory.path()), 0, 10, 1);
  {
    const auto kv = open(directory.path());
    for (int i = 0; i < kKeys; i += 20) put(*kv, i, i + 20, 1);
  }
  std::filesystem::path log;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() == ".log" && entry.file_size() > 50'000) log = entry.path();
  }
  REQUIRE_FALSE(log.empty());
  overwrite(log, std::filesystem::file_size(log) / 2, 100);
  const auto kv = open(directory.path());
  const auto found = all(*kv);
  CHECK(found.count(key_of(0)) == 1);
  CHECK(found.count(key_of(kKeys - 1)) == 1);
  CHECK(found.size() < kKeys);
  CHECK(found.size() > kKeys - 400);  // a block of the log is 32 KiB
  REQUIRE(kv->damage().size() == 1);
  CHECK(kv->damage()[0].file.find(log.filename().string()) != std::string::npos);
  CHECK(kv->damage()[0].family == Family::meta());
  CHECK(std::filesystem::exists(directory / ("set-aside/" + log.filename().string())));
}

TEST_CASE("rocks_damage: what compaction meets is set aside, and does not end the writing") {
  const test::TemporaryDirectory directory;
  constexpr int kRounds = 7;  // one table fewer than are compacted (rocks_options.cc)
  for (int round = 0; round < kRounds; ++round) {
    put(*open(directory.path()), 0, kKeys, round);
    (void)open(directory.path());
  }
  const auto before = tables(directory.path());
  REQUIRE(before.size() == kRounds);
  overwrite(before[0], std::filesystem::file_size(before[0]) / 2, 100);
  put(*open(directory.path()), 0, 10, kRounds);
  const auto kv = open(directory.path());  // one more table: they are compacted
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int i = 0; kv->damage().empty() && std::chrono::steady_clock::now() < deadline; ++i)
    put(*kv, kKeys, kKeys + 1, i);
  REQUIRE(kv->damage().size() == 1);
  CHECK(kv->damage()[0].file == before[0].filename().string());
  CHECK_FALSE(kv->stats().failing);
  const auto found = all(*kv);
  CHECK(found.size() == kKeys + 1);
  CHECK(found.at(key_of(kKeys / 2)) == value_of(kKeys / 2, kRounds - 1));
}

TEST_CASE("rocks_damage: a reader of a day that was dropped meanwhile gets an error and an end") {
  const test::TemporaryDirectory directory;
  make_one_table(directory.path());
  const auto table = tables(directory.path()).front();
  overwrite(table, std::filesystem::file_size(table) * 3 / 4, 100);
  const auto kv = open(directory.path());
  bool dropped = false;
  const auto scanned = kv->scan(kDay, "", "", [&](auto, auto) {
    if (!dropped) CHECK(kv->drop_day(kDay).ok());
    dropped = true;
    return true;
  });
  REQUIRE_FALSE(scanned.ok());
  CHECK(scanned.error().code == net::Code::corrupt);
}
