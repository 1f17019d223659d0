#include "collector/store/chunk_attribute_table.h"

#include <algorithm>

namespace hms::collector {

using Kind = telemetry::AttributeValue::Kind;

// What a corrupt chunk may make of columns that cost no bytes. A real one has at most 128 a record
// and 16 MiB of them.
constexpr size_t kMaxAttributes = 4'000'000;
constexpr uint32_t kNoRun = UINT32_MAX;

uint32_t AttributeTableWriter::column_of(const telemetry::Attribute& attribute, size_t place) {
  // Most records have what the one before had, in the same order.
  const auto run = static_cast<uint32_t>(runs_.size());
  if (!runs_.empty()) {
    const auto& last = shapes_[runs_.back().shape];
    if (place < last.size()) {
      const Column& guess = columns_[last[place]];
      if (guess.kind == attribute.value.kind && guess.last_run != run && guess.key == attribute.key)
        return last[place];
    }
  }
  for (uint32_t time = 0;; ++time) {
    const auto [it, added] =
        by_key_.try_emplace({attribute.key, static_cast<uint8_t>(attribute.value.kind), time},
                            static_cast<uint32_t>(columns_.size()));
    if (added)
      columns_.push_back(
          {attribute.key, attribute.value.kind, ValueColumnWriter(attribute.value.kind), kNoRun});
    if (columns_[it->second].last_run != run) return it->second;
  }
}

void AttributeTableWriter::add_run(std::span<const telemetry::Attribute> attributes) {
  Run run{0, static_cast<uint32_t>(run_codes_.size()), 0};
  shape_.clear();
  for (const telemetry::Attribute& attribute : attributes) {
    const uint32_t index = column_of(attribute, shape_.size());
    columns_[index].last_run = static_cast<uint32_t>(runs_.size());
    run_codes_.push_back(columns_[index].values.code_of(attribute.value));
    shape_.push_back(index);
  }
  if (!runs_.empty() && shapes_[runs_.back().shape] == shape_) {
    run.shape = runs_.back().shape;
  } else {
    const auto [it, added] = by_shape_.try_emplace(shape_, static_cast<uint32_t>(shapes_.size()));
    if (added) shapes_.push_back(shape_);
    run.shape = it->second;
  }
  runs_.push_back(run);
}

uint32_t AttributeTableWriter::add(std::span<const telemetry::Attribute> attributes) {
  const uint32_t run = places_.add({attributes.data(), attributes.size()});
  if (run == runs_.size()) add_run(attributes);
  ++runs_[run].records;
  record_runs_.push_back(run);
  return run;
}

std::vector<AttributeTableWriter::Rows> AttributeTableWriter::rows_of_columns() const {
  std::vector<Rows> rows(columns_.size());
  for (const Run& run : runs_) {
    for (const uint32_t column : shapes_[run.shape]) rows[column].count += run.records;
  }
  // Which value a row has says nothing where there is only one; where it is, where all have one.
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].wanted = columns_[i].values.distinct() > 1;
    if (rows[i].wanted) rows[i].codes.reserve(rows[i].count);
  }
  const size_t records = record_runs_.size();
  for (uint32_t record = 0; record < records; ++record) {
    const Run& run = runs_[record_runs_[record]];
    const uint32_t* code = run_codes_.data() + run.first_code;
    for (const uint32_t column : shapes_[run.shape]) {
      Rows& of = rows[column];
      if (of.wanted) {
        of.codes.push_back(*code);
        if (of.count != records) of.records.push_back(record);
      }
      ++code;
    }
  }
  return rows;
}

void AttributeTableWriter::write(ColumnWriter& out, std::span<const CodeBase> bases,
                                 Packing packing) const {
  const std::vector<Rows> rows = rows_of_columns();
  ColumnWriter bytes;
  out.varint(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    const size_t begin = bytes.size();
    columns_[i].values.write(bytes, rows[i].codes, rows[i].records, bases, packing);
    out.text(columns_[i].key);
    out.u8(static_cast<uint8_t>(columns_[i].kind));
    out.varint(bytes.size() - begin);
  }
  out.varint(shapes_.size());
  for (const auto& shape : shapes_) {
    out.varint(shape.size());
    for (const uint32_t column : shape) out.varint(column);
  }
  std::vector<uint32_t> record_shapes;
  record_shapes.reserve(record_runs_.size());
  for (const uint32_t run : record_runs_) record_shapes.push_back(runs_[run].shape);
  write_codes(out, record_shapes, shapes_.size(), {}, bases, packing);
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
