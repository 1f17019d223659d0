#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "collector/lake/crc32.h"
#include "collector/lake/parquet_reader.h"
#include "collector/lake/parquet_writer.h"

using namespace hms;
using namespace hms::collector;

namespace {

struct Row {
  std::string name, note;
  int64_t number;
  double ratio;
};

std::vector<Row> some_rows(size_t count) {
  std::mt19937_64 random(7);
  std::vector<Row> rows;
  for (size_t i = 0; i < count; ++i) {
    // Runs, repeats and texts that are all different.
    rows.push_back({"service-" + std::to_string(i / 100 % 5),
                    "note " + std::to_string(random()) + std::string(random() % 40, 'x'),
                    static_cast<int64_t>(random()), static_cast<double>(i) / 8});
  }
  return rows;
}

std::string write(const std::vector<Row>& rows, int64_t rows_per_group = 1'000) {
  std::string file;
  ParquetWriterOptions options;
  options.rows_per_group = rows_per_group;
  ParquetWriter writer({{"name", ColumnType::text},
                        {"note", ColumnType::json},
                        {"number", ColumnType::int64},
                        {"small", ColumnType::int32},
                        {"ratio", ColumnType::real}},
                       options, [&file](std::string_view bytes) -> net::Result<void> {
                         file += bytes;
                         return {};
                       });
  for (const Row& row : rows) {
    writer.text(0, row.name);
    writer.text(1, row.note);
    writer.integer(2, row.number);
    writer.integer(3, row.number % 1'000);
    writer.real(4, row.ratio);
    REQUIRE(writer.end_row().ok());
  }
  REQUIRE(writer.finish({{"made by", "a test"}}).ok());
  return file;
}

std::unique_ptr<ParquetFile> open(const std::string& bytes) {
  auto file = ParquetFile::open(std::make_shared<MemoryFile>(bytes));
  REQUIRE_MESSAGE(file.ok(), (file.ok() ? "" : file.error().detail));
  return std::move(file).value();
}

}  // namespace

TEST_CASE("parquet: what is written is read, over row groups and pages") {
  const std::vector<Row> rows = some_rows(20'500);
  const auto file = open(write(rows, 10'000));
  REQUIRE(file->meta().row_groups.size() == 3);
  CHECK(file->meta().rows == 20'500);
  size_t row = 0;
  for (size_t group = 0; group < 3; ++group) {
    const auto names = file->read(group, 0), notes = file->read(group, 1);
    const auto numbers = file->read(group, 2), smalls = file->read(group, 3);
    const auto ratios = file->read(group, 4);
    const auto& meta = file->meta().row_groups[group];
    REQUIRE(names.value().texts.size() == static_cast<size_t>(meta.rows));
    CHECK_FALSE(names.value().dictionary.empty());
    for (size_t i = 0; i < static_cast<size_t>(meta.rows); ++i, ++row) {
      REQUIRE(names.value().texts[i] == rows[row].name);
      REQUIRE(notes.value().texts[i] == rows[row].note);
      REQUIRE(numbers.value().integers[i] == rows[row].number);
      REQUIRE(smalls.value().integers[i] == rows[row].number % 1'000);
      REQUIRE(ratios.value().reals[i] == rows[row].ratio);
      REQUIRE(meta.columns[2].min_integer() <= rows[row].number);
      REQUIRE(meta.columns[2].max_integer() >= rows[row].number);
      REQUIRE(meta.columns[0].may_hold(rows[row].name));
    }
    CHECK_FALSE(meta.columns[0].may_hold("zebra"));
  }
  CHECK(row == rows.size());
}

TEST_CASE("parquet: only the pages that are asked for are read") {
  const std::vector<Row> rows = some_rows(30'000);
  const auto file = open(write(rows, 30'000));
  const auto part = file->read(0, 2, 9'000, 9'010);
  CHECK(part.value().first == kRowsPerPage);
  CHECK(part.value().integers.size() == kRowsPerPage);
  CHECK(part.value().integers[9'000 - kRowsPerPage] == rows[9'000].number);
}

TEST_CASE("parquet: no rows, one row, empty texts, large texts, NaN") {
  CHECK(open(write({}))->meta().rows == 0);
  const std::vector<Row> odd{{"", "", INT64_MIN, std::nan("")},
                             {std::string(100, 'a'), std::string(3'000'000, 'b'), INT64_MAX, -0.0}};
  const auto file = open(write(odd));
  CHECK(file->read(0, 0).value().texts[1] == odd[1].name);
  CHECK(file->read(0, 1).value().texts[1] == odd[1].note);
  CHECK(std::isnan(file->read(0, 4).value().reals[0]));
  CHECK_FALSE(file->meta().row_groups[0].columns[4].has_bounds);  // NaN has no place in an order
  CHECK_FALSE(file->meta().row_groups[0].columns[0].has_bounds);  // too long to be one
}

TEST_CASE("parquet: every changed byte of a page is noticed, no change crashes the reader") {
  const std::string good = write(some_rows(300));
  std::mt19937_64 random(11);
  size_t noticed = 0;
  for (int round = 0; round < 3'000; ++round) {
    std::string bad = good;
    bad[random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
    auto file = ParquetFile::open(std::make_shared<MemoryFile>(bad));
    if (!file.ok()) {
      ++noticed;
      continue;
    }
    for (size_t group = 0; group < file.value()->meta().row_groups.size(); ++group) {
      for (size_t column = 0; column < file.value()->meta().columns.size(); ++column)
        noticed += file.value()->read(group, column).ok() ? 0 : 1;
    }
  }
  CHECK(noticed > 2'000);  // what is left are names and bounds in the footer
  for (size_t length = 0; length < good.size(); length += 97)
    CHECK_FALSE(ParquetFile::open(std::make_shared<MemoryFile>(good.substr(0, length))).ok());
}

TEST_CASE("crc32: the check value of the polynomial, in one piece and in two") {
  CHECK(crc32_of("123456789") == 0xCBF43926);
  CHECK(crc32_of("56789", crc32_of("1234")) == 0xCBF43926);
  CHECK(crc32_of("") == 0);
}
