#include "collector/store/chunk_attributes.h"

namespace hms::collector {
namespace {

using Kind = telemetry::AttributeValue::Kind;

void write_value(const telemetry::AttributeValue& value, DictionaryWriter& dictionary,
                 ColumnWriter& out) {
  switch (value.kind) {
    case Kind::empty:
      return;
    case Kind::text:
    case Kind::json:
      out.varint(dictionary.add(value.text));
      return;
    case Kind::boolean:
      out.u8(value.boolean ? 1 : 0);
      return;
    case Kind::integer:
      out.zigzag(value.integer);
      return;
    case Kind::real:
      out.real(value.real);
      return;
  }
}

telemetry::AttributeValue read_value(Kind kind, const DictionaryReader& dictionary,
                                     ColumnReader& in) {
  telemetry::AttributeValue value;
  value.kind = kind;
  switch (kind) {
    case Kind::empty:
      break;
    case Kind::text:
    case Kind::json:
      value.text = dictionary.read(in);
      break;
    case Kind::boolean:
      value.boolean = in.u8() != 0;
      break;
    case Kind::integer:
      value.integer = in.zigzag();
      break;
    case Kind::real:
      value.real = in.real();
      break;
  }
  return value;
}

}  // namespace

uint32_t AttributeColumnsWriter::column_of(const telemetry::Attribute& attribute) {
  const uint32_t key = dictionary_.add(attribute.key);
  const auto [it, added] = column_indices_.try_emplace(
      {key, static_cast<uint8_t>(attribute.value.kind)}, static_cast<uint32_t>(columns_.size()));
  if (added) columns_.push_back({key, attribute.value.kind, {}});
  return it->second;
}

void AttributeColumnsWriter::add(std::span<const telemetry::Attribute> attributes) {
  std::vector<uint32_t> shape;
  shape.reserve(attributes.size());
  for (const telemetry::Attribute& attribute : attributes) {
    const uint32_t column = column_of(attribute);
    write_value(attribute.value, dictionary_, columns_[column].values);
    shape.push_back(column);
  }
  const auto [it, added] = shape_indices_.try_emplace(shape, static_cast<uint32_t>(shapes_.size()));
  if (added) shapes_.push_back(std::move(shape));
  record_shapes_.push_back(it->second);
}

void AttributeColumnsWriter::write(ColumnWriter& out) const {
  out.varint(columns_.size());
  for (const Column& column : columns_) {
    out.varint(column.key);
    out.u8(static_cast<uint8_t>(column.kind));
    out.text(column.values.bytes());
  }
  out.varint(shapes_.size());
  for (const auto& shape : shapes_) {
    out.varint(shape.size());
    for (const uint32_t column : shape) out.varint(column);
  }
  out.varint(record_shapes_.size());
  for (const uint32_t shape : record_shapes_) out.varint(shape);
}

AttributeColumnsReader::AttributeColumnsReader(ColumnReader& in,
                                               const DictionaryReader& dictionary) {
  struct Column {
    std::string_view key;
    Kind kind;
    ColumnReader values;
  };
  std::vector<Column> columns;
  const size_t column_count = in.count(3);
  for (size_t i = 0; i < column_count && !in.failed(); ++i) {
    const std::string_view key = dictionary.read(in);
    const uint8_t kind = in.u8();
    if (kind > static_cast<uint8_t>(Kind::json)) {
      in.fail();
      return;
    }
    columns.push_back({key, static_cast<Kind>(kind), ColumnReader(in.text())});
  }
  std::vector<std::vector<uint32_t>> shapes(in.count());
  for (auto& shape : shapes) {
    const size_t width = in.count();
    for (size_t i = 0; i < width; ++i) {
      const uint64_t column = in.varint();
      if (column >= columns.size()) {
        in.fail();
        return;
      }
      shape.push_back(static_cast<uint32_t>(column));
    }
  }
  const size_t records = in.count();
  begins_.reserve(records + 1);
  begins_.push_back(0);
  for (size_t i = 0; i < records && !in.failed(); ++i) {
    const uint64_t shape = in.varint();
    if (shape >= shapes.size()) {
      in.fail();
      return;
    }
    for (const uint32_t index : shapes[shape]) {
      Column& column = columns[index];
      values_.push_back({column.key, read_value(column.kind, dictionary, column.values)});
      // A column that yields nothing (kind empty) could be repeated for free: bound what a corrupt
      // chunk can make of it.
      if (column.values.failed() || values_.size() > 64'000'000) {
        in.fail();
        return;
      }
    }
    begins_.push_back(static_cast<uint32_t>(values_.size()));
  }
}

std::vector<StoredAttribute> AttributeColumnsReader::record(size_t index) const {
  std::vector<StoredAttribute> attributes;
  if (index + 1 >= begins_.size()) return attributes;
  attributes.reserve(begins_[index + 1] - begins_[index]);
  for (uint32_t i = begins_[index]; i < begins_[index + 1]; ++i) {
    const View& view = values_[i];
    attributes.push_back({std::string(view.key), view.value.kind, std::string(view.value.text),
                          view.value.boolean, view.value.integer, view.value.real});
  }
  return attributes;
}

}  // namespace hms::collector
