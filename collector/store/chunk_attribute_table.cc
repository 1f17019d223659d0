#include "collector/store/chunk_attribute_table.h"

#include <algorithm>

namespace hms::collector {

using Kind = telemetry::AttributeValue::Kind;

// What a corrupt chunk may make of columns that cost no bytes. A real one has at most 128 a record
// and 16 MiB of them.
constexpr size_t kMaxAttributes = 4'000'000;

uint32_t AttributeTableWriter::column_of(const telemetry::Attribute& attribute, size_t place) {
  // Most records have what the one before had, in the same order.
  const auto record = static_cast<uint32_t>(record_shapes_.size());
  const auto used = [&](uint32_t index) {
    return !columns_[index].records.empty() && columns_[index].records.back() == record;
  };
  if (!shapes_.empty() && !record_shapes_.empty()) {
    const auto& last = shapes_[record_shapes_.back()];
    if (place < last.size()) {
      const Column& guess = columns_[last[place]];
      if (guess.kind == attribute.value.kind && guess.key == attribute.key && !used(last[place]))
        return last[place];
    }
  }
  for (uint32_t time = 0;; ++time) {
    const auto [it, added] =
        by_key_.try_emplace({attribute.key, static_cast<uint8_t>(attribute.value.kind), time},
                            static_cast<uint32_t>(columns_.size()));
    if (added)
      columns_.push_back(
          {attribute.key, attribute.value.kind, ValueColumnWriter(attribute.value.kind), {}});
    if (!used(it->second)) return it->second;
  }
}

void AttributeTableWriter::add(std::span<const telemetry::Attribute> attributes) {
  shape_.clear();
  for (const telemetry::Attribute& attribute : attributes) {
    const uint32_t index = column_of(attribute, shape_.size());
    Column& column = columns_[index];
    column.values.add(attribute.value);
    column.records.push_back(static_cast<uint32_t>(record_shapes_.size()));
    shape_.push_back(index);
  }
  if (!record_shapes_.empty() && shapes_[record_shapes_.back()] == shape_)
    return record_shapes_.push_back(record_shapes_.back());
  const auto [it, added] = by_shape_.try_emplace(shape_, static_cast<uint32_t>(shapes_.size()));
  if (added) shapes_.push_back(shape_);
  record_shapes_.push_back(it->second);
}

void AttributeTableWriter::write(ColumnWriter& out, std::span<const CodeBase> bases,
                                 Packing packing) const {
  const size_t records = record_shapes_.size();
  ColumnWriter bytes;
  out.varint(columns_.size());
  for (const Column& column : columns_) {
    const size_t begin = bytes.size();
    const bool everywhere = column.records.size() == records;
    column.values.write(bytes, everywhere ? std::span<const uint32_t>() : column.records, bases,
                        packing);
    out.text(column.key);
    out.u8(static_cast<uint8_t>(column.kind));
    out.varint(bytes.size() - begin);
  }
  out.varint(shapes_.size());
  for (const auto& shape : shapes_) {
    out.varint(shape.size());
    for (const uint32_t column : shape) out.varint(column);
  }
  write_codes(out, record_shapes_, shapes_.size(), {}, bases, packing);
  out.raw(bytes.bytes());
}

// ---------------------------------------------------------------- reading

void AttributeTable::read(ColumnReader& in, size_t records, std::span<const Codes* const> bases,
                          BlockArena& arena) {
  records_ = records;
  bases_ = bases;
  arena_ = &arena;
  std::vector<uint64_t> sizes(in.count(3));
  columns_.resize(sizes.size());
  for (size_t i = 0; i < sizes.size() && !in.failed(); ++i) {
    columns_[i].key = in.text();
    const uint8_t kind = in.u8();
    if (kind > static_cast<uint8_t>(Kind::json)) in.fail();
    columns_[i].kind = static_cast<Kind>(kind);
    sizes[i] = in.varint();
  }
  shapes_.resize(in.count());
  std::vector<uint32_t> last_shape(columns_.size(), kAbsent);
  for (size_t s = 0; s < shapes_.size() && !in.failed(); ++s) {
    for (size_t width = in.count(); width > 0 && !in.failed(); --width) {
      const uint64_t column = in.varint();
      if (column >= columns_.size() || last_shape[column] == s) return in.fail();
      last_shape[column] = static_cast<uint32_t>(s);
      shapes_[s].push_back(static_cast<uint32_t>(column));
      columns_[column].shapes.push_back(static_cast<uint32_t>(s));
    }
  }
  if (!in.failed()) record_shapes_ = Codes::read(in, records, shapes_.size(), bases, arena);
  if (in.failed()) return;
  std::vector<size_t> uses(shapes_.size());
  if (record_shapes_.all_zero()) {
    if (!uses.empty()) uses[0] = records;
  } else {
    for (size_t record = 0; record < records; ++record) ++uses[record_shapes_.at(record, record)];
  }
  for (size_t s = 0; s < shapes_.size(); ++s) {
    total_ += uses[s] * shapes_[s].size();
    for (const uint32_t column : shapes_[s]) columns_[column].rows += uses[s];
  }
  if (total_ > kMaxAttributes) return in.fail();
  for (size_t i = 0; i < columns_.size() && !in.failed(); ++i) columns_[i].bytes = in.raw(sizes[i]);
}

/// Only once: the records of each shape. Keys that nearly every record has anew (junk, mostly) make
/// as many shapes and columns, so the work for a column must not grow with the records of others.
void AttributeTable::find_records(Column& column) {
  if (shape_ends_.empty()) {
    shape_ends_.resize(shapes_.size());
    for (size_t record = 0; record < records_; ++record)
      ++shape_ends_[record_shapes_.at(record, record)];
    for (size_t s = 1; s < shape_ends_.size(); ++s) shape_ends_[s] += shape_ends_[s - 1];
    by_shape_.resize(records_);
    for (size_t record = records_; record-- > 0;)
      by_shape_[--shape_ends_[record_shapes_.at(record, record)]] = static_cast<uint32_t>(record);
    shape_ends_.erase(shape_ends_.begin());
    shape_ends_.push_back(static_cast<uint32_t>(records_));
  }
  column.having.clear();
  for (const uint32_t shape : column.shapes) {
    const uint32_t begin = shape == 0 ? 0 : shape_ends_[shape - 1];
    column.having.insert(column.having.end(), by_shape_.begin() + begin,
                         by_shape_.begin() + shape_ends_[shape]);
  }
  std::sort(column.having.begin(), column.having.end());
  if (column.having.size() * 4 < records_) return;
  column.row_of.assign(records_, kAbsent);
  for (size_t row = 0; row < column.having.size(); ++row)
    column.row_of[column.having[row]] = static_cast<uint32_t>(row);
  column.having.clear();
}

uint32_t AttributeTable::row_of(const Column& column, uint32_t record) const noexcept {
  if (column.rows == records_) return record;
  if (!column.row_of.empty()) return column.row_of[record];
  const auto at = std::lower_bound(column.having.begin(), column.having.end(), record);
  if (at == column.having.end() || *at != record) return kAbsent;
  return static_cast<uint32_t>(at - column.having.begin());
}

bool AttributeTable::open(Column& column) {
  if (column.opened) return true;
  if (column.rows != records_) find_records(column);
  ColumnReader in(column.bytes);
  column.values = ValueColumn::read(in, column.kind, column.rows, bases_, *arena_);
  column.opened = !in.failed();
  return column.opened;
}

bool AttributeTable::append(uint32_t record, std::vector<telemetry::Attribute>& out) {
  for (const uint32_t index : shapes_[record_shapes_.at(record, record)]) {
    Column& column = columns_[index];
    if (!open(column)) return false;
    const uint32_t code = column.values.codes().at(row_of(column, record), record);
    out.push_back({column.key, column.values.value(code)});
  }
  return true;
}

bool AttributeTable::mark(std::string_view key, std::string_view text,
                          std::span<const uint32_t> records, std::vector<char>& fits) {
  for (Column& column : columns_) {
    if (column.key != key || column.rows == 0) continue;
    if (!open(column)) return false;
    const auto wanted = column.values.codes_of_text(text);
    if (wanted.empty()) continue;
    for (size_t i = 0; i < records.size(); ++i) {
      const uint32_t row = row_of(column, records[i]);
      if (row != kAbsent && wanted[column.values.codes().at(row, records[i])] != 0) fits[i] = 1;
    }
  }
  return true;
}

}  // namespace hms::collector
