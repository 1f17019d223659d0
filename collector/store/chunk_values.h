// chunk_values.h: one column of a chunk: its distinct values, each once, and a code per row.
//
// Codes cost nothing where a row's value follows from something else: a column with one value, one
// that is new in each row, or one that is a function of a base column (the route of an operation,
// the address of a sender). Thread: values. Format: docs/storage-format.md, "Columns".
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "collector/store/chunk_block.h"
#include "telemetry/model.h"

namespace hms::collector {

/// Distinct values in order of appearance: open addressing, at most half full.
template <class Value, class Hash>
class DistinctValues {
 public:
  uint32_t add(const Value& value) {
    if ((values_.size() + 1) * 2 > slots_.size()) grow();
    for (size_t at = Hash()(value);; ++at) {
      uint32_t& slot = slots_[at & (slots_.size() - 1)];
      if (slot == 0) {
        values_.push_back(value);
        slot = static_cast<uint32_t>(values_.size());
        return slot - 1;
      }
      if (values_[slot - 1] == value) return slot - 1;
    }
  }
  [[nodiscard]] const std::vector<Value>& values() const noexcept { return values_; }

 private:
  void grow() {
    slots_.assign(slots_.empty() ? 16 : slots_.size() * 4, 0);
    for (size_t i = 0; i < values_.size(); ++i) {
      size_t at = Hash()(values_[i]);
      while (slots_[at & (slots_.size() - 1)] != 0) ++at;
      slots_[at & (slots_.size() - 1)] = static_cast<uint32_t>(i + 1);
    }
  }
  std::vector<Value> values_;
  std::vector<uint32_t> slots_;
};
struct NumberHash {
  [[nodiscard]] size_t operator()(uint64_t value) const noexcept {
    value *= 0x9E3779B97F4A7C15ULL;
    return value ^ (value >> 32);
  }
};
using DistinctTexts = DistinctValues<std::string_view, TextHash>;
using DistinctNumbers = DistinctValues<uint64_t, NumberHash>;

/// A column of codes that others may be functions of; one code per record of the chunk.
struct CodeBase {
  std::span<const uint32_t> codes;
  size_t distinct = 0;
};

/// `records[i]` is the record of row i; empty: row i is of record i.
void write_codes(ColumnWriter& out, std::span<const uint32_t> codes, size_t distinct,
                 std::span<const uint32_t> records, std::span<const CodeBase> bases,
                 Packing packing);

class Codes {
 public:
  /// Codes are below `distinct`, or the reader fails. `bases` must outlive this.
  [[nodiscard]] static Codes read(ColumnReader& in, size_t rows, size_t distinct,
                                  std::span<const Codes* const> bases, BlockArena& arena);
  [[nodiscard]] uint32_t at(size_t row, size_t record) const noexcept {
    switch (mode_) {
      case 0:
        return 0;
      case 1:
        return static_cast<uint32_t>(row);
      case 2:
        return static_cast<uint32_t>(numbers_.at(row));
      default:
        return static_cast<uint32_t>(numbers_.at(base_->at(record, record)));
    }
  }
  [[nodiscard]] size_t distinct() const noexcept { return distinct_; }
  /// Whether all are 0 because nothing else was written.
  [[nodiscard]] bool all_zero() const noexcept { return mode_ == 0; }
  /// Adds the rows with that code, where rows are records.
  void find(uint32_t code, std::vector<uint32_t>& rows) const;

 private:
  uint8_t mode_ = 0;
  size_t rows_ = 0, distinct_ = 0;
  Numbers numbers_;  // codes, or a code per code of the base
  const Codes* base_ = nullptr;
};

class ValueColumnWriter {
 public:
  using Kind = telemetry::AttributeValue::Kind;
  explicit ValueColumnWriter(Kind kind) : kind_(kind) {}
  /// The value of the next row. Texts must stay alive until `write`.
  void add_text(std::string_view text);
  /// The next row has the value of an earlier one.
  void add_code(uint32_t code) { codes_.push_back(code); }
  /// The code of a value, for columns whose rows somebody else keeps. Texts as above.
  [[nodiscard]] uint32_t code_of(const telemetry::AttributeValue& value);
  [[nodiscard]] std::span<const uint32_t> codes() const noexcept { return codes_; }
  [[nodiscard]] size_t distinct() const noexcept;
  [[nodiscard]] CodeBase base() const noexcept { return {codes_, distinct()}; }
  [[nodiscard]] const std::vector<std::string_view>& texts() const noexcept {
    return texts_.values();
  }
  /// Calls `visit` with each distinct value as an attribute value.
  template <class Visit>
  void each_value(const Visit& visit) const {
    telemetry::AttributeValue value;
    value.kind = kind_;
    if (kind_ == Kind::empty) return visit(value);
    for (const std::string_view text : texts_.values()) {
      value.text = text;
      visit(value);
    }
    for (const uint64_t number : numbers_.values()) visit(number_value(kind_, number));
  }
  void write(ColumnWriter& out, std::span<const CodeBase> bases, Packing packing) const {
    write(out, codes_, {}, bases, packing);
  }
  /// With the codes of the rows, which do not matter if there is one value. `records` as for
  /// write_codes.
  void write(ColumnWriter& out, std::span<const uint32_t> codes, std::span<const uint32_t> records,
             std::span<const CodeBase> bases, Packing packing) const;

  [[nodiscard]] static telemetry::AttributeValue number_value(Kind kind, uint64_t bits) noexcept;

 private:
  /// Texts that were added lately, by where they are: one that is met again there need not be read,
  /// which would mostly be a miss of the cache.
  struct Known {
    const char* data = nullptr;
    size_t size = SIZE_MAX;  // no text's
    uint32_t code = 0;
  };
  static constexpr size_t kKnown = 1'024;

  Kind kind_;
  DistinctTexts texts_;
  DistinctNumbers numbers_;
  std::vector<uint32_t> codes_;
  std::vector<Known> known_;  // from the second distinct text on
};

class ValueColumn {
 public:
  using Kind = telemetry::AttributeValue::Kind;
  [[nodiscard]] static ValueColumn read(ColumnReader& in, Kind kind, size_t rows,
                                        std::span<const Codes* const> bases, BlockArena& arena);
  [[nodiscard]] telemetry::AttributeValue value(uint32_t code) const noexcept;
  [[nodiscard]] std::string_view text_at(size_t row) const noexcept {
    return texts_.at(codes_.at(row, row));
  }
  [[nodiscard]] const Codes& codes() const noexcept { return codes_; }
  /// Per code, whether its value as text is this one; empty when none is.
  [[nodiscard]] std::vector<char> codes_of_text(std::string_view text) const;

 private:
  Kind kind_ = Kind::empty;
  Texts texts_;
  Numbers numbers_;
  Codes codes_;
};

}  // namespace hms::collector
