#include "collector/store/chunk_values.h"

#include <algorithm>
#include <bit>

#include "collector/store/stored_attribute.h"

namespace hms::collector {
namespace {

enum : uint8_t { kOne = 0, kNew = 1, kPlain = 2, kFirstBase = 3 };

bool is_textual(telemetry::AttributeValue::Kind kind) noexcept {
  return kind == telemetry::AttributeValue::Kind::text ||
         kind == telemetry::AttributeValue::Kind::json;
}

/// The code for each code of the base, where the base decides it. False: it does not, or the table
/// would be no shorter than the codes.
bool is_function_of(std::span<const uint32_t> codes, std::span<const uint32_t> records,
                    const CodeBase& base, std::vector<uint64_t>& table) {
  constexpr uint64_t kOpen = UINT64_MAX;
  if (base.distinct * 2 > codes.size()) return false;
  table.assign(base.distinct, kOpen);
  for (size_t row = 0; row < codes.size(); ++row) {
    uint64_t& known = table[base.codes[records.empty() ? row : records[row]]];
    if (known == kOpen) known = codes[row];
    if (known != codes[row]) return false;
  }
  std::replace(table.begin(), table.end(), kOpen, uint64_t{0});
  return true;
}

}  // namespace

void write_codes(ColumnWriter& out, std::span<const uint32_t> codes, size_t distinct,
                 std::span<const uint32_t> records, std::span<const CodeBase> bases,
                 Packing packing) {
  if (distinct <= 1) return out.u8(kOne);
  if (distinct == codes.size()) return out.u8(kNew);  // codes are given in order of appearance
  std::vector<uint64_t> table;
  for (size_t i = 0; i < bases.size(); ++i) {
    if (!is_function_of(codes, records, bases[i], table)) continue;
    out.u8(static_cast<uint8_t>(kFirstBase + i));
    return write_numbers(out, table, packing);
  }
  out.u8(kPlain);
  table.assign(codes.begin(), codes.end());
  write_numbers(out, table, packing);
}

Codes Codes::read(ColumnReader& in, size_t rows, size_t distinct,
                  std::span<const Codes* const> bases, BlockArena& arena) {
  Codes codes;
  codes.mode_ = in.u8();
  codes.rows_ = rows;
  codes.distinct_ = distinct;
  if (rows > kMaxChunkRows || (distinct == 0 && rows > 0) ||
      (codes.mode_ == kNew && rows > distinct))
    in.fail();
  if (in.failed() || codes.mode_ <= kNew) return codes;
  if (codes.mode_ > kPlain) {
    const size_t base = codes.mode_ - kFirstBase;
    if (base >= bases.size() || bases[base] == nullptr) {
      in.fail();
      return codes;
    }
    codes.base_ = bases[base];
    codes.mode_ = kFirstBase;
  }
  codes.numbers_ =
      Numbers::read(in, codes.base_ != nullptr ? codes.base_->distinct() : rows, arena);
  if (!in.failed() && !codes.numbers_.below(distinct)) in.fail();
  return codes;
}

void Codes::find(uint32_t code, std::vector<uint32_t>& rows) const {
  if (mode_ == kPlain) return numbers_.find(code, rows);
  for (size_t row = 0; row < rows_; ++row) {
    if (at(row, row) == code) rows.push_back(static_cast<uint32_t>(row));
  }
}

// ---------------------------------------------------------------- columns of values

void ValueColumnWriter::add_text(std::string_view text) {
  // Many columns have one value, most often none.
  if (!codes_.empty()) {
    const std::string_view last = texts_.values()[codes_.back()];
    if (last.size() == text.size() && (last.data() == text.data() || text.empty()))
      return codes_.push_back(codes_.back());
    if (known_.empty()) known_.resize(kKnown);
  }
  if (known_.empty()) return codes_.push_back(texts_.add(text));
  Known& known = known_[NumberHash()(reinterpret_cast<uintptr_t>(text.data())) % kKnown];
  if (known.data != text.data() || known.size != text.size())
    known = {text.data(), text.size(), texts_.add(text)};
  codes_.push_back(known.code);
}

uint32_t ValueColumnWriter::code_of(const telemetry::AttributeValue& value) {
  switch (kind_) {
    case Kind::empty:
      return 0;
    case Kind::text:
    case Kind::json:
      return texts_.add(value.text);
    case Kind::boolean:
      return numbers_.add(value.boolean ? 1 : 0);
    case Kind::integer:
      return numbers_.add(static_cast<uint64_t>(value.integer));
    case Kind::real:
      return numbers_.add(std::bit_cast<uint64_t>(value.real));
  }
  return 0;
}

size_t ValueColumnWriter::distinct() const noexcept {
  if (kind_ == Kind::empty) return 1;
  return is_textual(kind_) ? texts_.values().size() : numbers_.values().size();
}

telemetry::AttributeValue ValueColumnWriter::number_value(Kind kind, uint64_t bits) noexcept {
  telemetry::AttributeValue value;
  value.kind = kind;
  if (kind == Kind::boolean) value.boolean = bits != 0;
  if (kind == Kind::integer) value.integer = static_cast<int64_t>(bits);
  if (kind == Kind::real) value.real = std::bit_cast<double>(bits);
  return value;
}

void ValueColumnWriter::write(ColumnWriter& out, std::span<const uint32_t> codes,
                              std::span<const uint32_t> records, std::span<const CodeBase> bases,
                              Packing packing) const {
  out.varint(distinct());
  if (is_textual(kind_))
    write_texts(out, texts_.values(), packing);
  else if (kind_ != Kind::empty)
    write_numbers(out, numbers_.values(), packing);
  write_codes(out, codes, distinct(), records, bases, packing);
}

ValueColumn ValueColumn::read(ColumnReader& in, Kind kind, size_t rows,
                              std::span<const Codes* const> bases, BlockArena& arena) {
  ValueColumn column;
  column.kind_ = kind;
  const uint64_t distinct = in.varint();
  if (distinct > std::max<size_t>(rows, 1)) in.fail();
  if (in.failed()) return column;
  if (is_textual(kind))
    column.texts_ = Texts::read(in, distinct, arena);
  else if (kind != Kind::empty)
    column.numbers_ = Numbers::read(in, distinct, arena);
  if (!in.failed()) column.codes_ = Codes::read(in, rows, distinct, bases, arena);
  return column;
}

telemetry::AttributeValue ValueColumn::value(uint32_t code) const noexcept {
  telemetry::AttributeValue value;
  value.kind = kind_;
  if (is_textual(kind_))
    value.text = texts_.at(code);
  else if (kind_ != Kind::empty)
    value = ValueColumnWriter::number_value(kind_, numbers_.at(code));
  return value;
}

std::vector<char> ValueColumn::codes_of_text(std::string_view text) const {
  std::vector<char> fits(codes_.distinct());
  bool any = false;
  for (uint32_t code = 0; code < fits.size(); ++code) {
    const bool same =
        is_textual(kind_) ? texts_.at(code) == text : attribute_text(value(code)) == text;
    fits[code] = same;
    any = any || same;
  }
  if (!any) fits.clear();
  return fits;
}

}  // namespace hms::collector
