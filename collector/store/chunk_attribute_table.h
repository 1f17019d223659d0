// chunk_attribute_table.h: the attributes of a chunk's records, one column per key and kind, each
// read only when it is asked for.
//
// A record's list of columns is its shape; shapes are few and stored once. A key that a record has
// twice has a column for each time, so no shape names a column twice. Thread: values. Format:
// docs/storage-format.md, "Attribute table".
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "collector/store/chunk_values.h"
#include "collector/store/stored_attribute.h"

namespace hms::collector {

class AttributeTableWriter {
 public:
  /// The next record's attributes, in order. They must stay alive, and where they are, until
  /// `write`. Those that stand where an earlier record's do are known already: returned is their
  /// number, in order of appearance.
  uint32_t add(std::span<const telemetry::Attribute> attributes);
  void write(ColumnWriter& out, std::span<const CodeBase> bases, Packing packing) const;
  /// Calls `visit` with each distinct (key, value) of the table; some may come twice.
  template <class Visit>
  void each_value(const Visit& visit) const {
    for (const Column& column : columns_)
      column.values.each_value([&](const telemetry::AttributeValue& v) { visit(column.key, v); });
  }

  /// For each record the OR of its attributes' bits: `value_bit(key, value)`, or `key_bit(key)`
  /// where a column has more than `few` values.
  template <class ValueBit, class KeyBit>
  [[nodiscard]] std::vector<uint64_t> bits_of_records(size_t few, const ValueBit& value_bit,
                                                      const KeyBit& key_bit) const {
    std::vector<std::vector<uint64_t>> by_code(columns_.size());
    std::vector<uint64_t> of_keys(columns_.size());
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Column& column = columns_[i];
      of_keys[i] = key_bit(column.key);
      if (column.values.distinct() > few) continue;
      column.values.each_value([&](const telemetry::AttributeValue& value) {
        by_code[i].push_back(value_bit(column.key, value));
      });
    }
    std::vector<uint64_t> of_runs;
    for (const Run& run : runs_) {
      uint64_t& bits = of_runs.emplace_back();
      const uint32_t* code = run_codes_.data() + run.first_code;
      for (const uint32_t i : shapes_[run.shape]) {
        bits |= by_code[i].empty() ? of_keys[i] : by_code[i][*code];
        ++code;
      }
    }
    std::vector<uint64_t> of_records;
    for (const uint32_t run : record_runs_) of_records.push_back(of_runs[run]);
    return of_records;
  }

 private:
  struct Column {
    std::string_view key;
    telemetry::AttributeValue::Kind kind;
    ValueColumnWriter values;
    uint32_t last_run;  // that has it
  };
  /// What some record has: a code for each column of its shape.
  struct Run {
    uint32_t shape = 0;
    uint32_t first_code = 0;
    uint32_t records = 0;
  };
  struct Where {
    const telemetry::Attribute* first = nullptr;
    size_t count = 0;
    bool operator==(const Where&) const = default;
  };
  struct WhereHash {
    [[nodiscard]] size_t operator()(const Where& where) const noexcept {
      return NumberHash()(reinterpret_cast<uintptr_t>(where.first) + where.count);
    }
  };
  /// The codes of a column and, where not every record has it, their records.
  struct Rows {
    size_t count = 0;
    bool wanted = false;
    std::vector<uint32_t> codes, records;
  };
  void add_run(std::span<const telemetry::Attribute> attributes);
  uint32_t column_of(const telemetry::Attribute& attribute, size_t place);
  [[nodiscard]] std::vector<Rows> rows_of_columns() const;

  std::vector<Column> columns_;
  // (key, kind, how many of them the record has already) -> column
  std::map<std::tuple<std::string_view, uint8_t, uint32_t>, uint32_t> by_key_;
  std::map<std::vector<uint32_t>, uint32_t> by_shape_;
  std::vector<std::vector<uint32_t>> shapes_;
  DistinctValues<Where, WhereHash> places_;  // of the runs
  std::vector<Run> runs_;
  std::vector<uint32_t> run_codes_, record_runs_, shape_;
};

class AttributeTable {
 public:
  /// Reads the list of columns; their bytes stay in what `in` reads. `bases` must outlive this.
  void read(ColumnReader& in, size_t records, std::span<const Codes* const> bases,
            BlockArena& arena);
  /// Appends a record's attributes. False: a column is corrupt.
  [[nodiscard]] bool append(uint32_t record, std::vector<telemetry::Attribute>& out);
  /// Sets fits[i] where records[i] has this key with this value as text. False: a column is
  /// corrupt.
  [[nodiscard]] bool mark(std::string_view key, std::string_view text,
                          std::span<const uint32_t> records, std::vector<char>& fits);
  [[nodiscard]] size_t records() const noexcept { return records_; }
  /// How many attributes all records have together.
  [[nodiscard]] size_t total() const noexcept { return total_; }

 private:
  static constexpr uint32_t kAbsent = UINT32_MAX;
  struct Column {
    std::string_view key, bytes;
    telemetry::AttributeValue::Kind kind = telemetry::AttributeValue::Kind::empty;
    size_t rows = 0;
    std::vector<uint32_t> shapes;  // those that name it
    bool opened = false;
    ValueColumn values;
    // Where not every record has it: its records, or, where most have it, the row of each record.
    std::vector<uint32_t> having, row_of;
  };
  bool open(Column& column);
  void find_records(Column& column);
  [[nodiscard]] uint32_t row_of(const Column& column, uint32_t record) const noexcept;

  size_t records_ = 0, total_ = 0;
  std::span<const Codes* const> bases_;
  BlockArena* arena_ = nullptr;
  std::vector<Column> columns_;
  std::vector<std::vector<uint32_t>> shapes_;
  Codes record_shapes_;
  std::vector<uint32_t> by_shape_, shape_ends_;  // the records of each shape, one after the other
};

}  // namespace hms::collector
