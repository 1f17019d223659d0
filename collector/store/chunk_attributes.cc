#include "collector/store/chunk_attributes.h"

namespace hms::collector {
namespace {

// A column of the kind that has no bytes could be repeated for free: bounds what a corrupt chunk
// can make of it. A real one has at most 128 a record and 16 MiB of them.
constexpr size_t kMaxChunkAttributes = 4'000'000;

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

namespace {

struct ReadColumn {
  std::string_view key;
  Kind kind;
  ColumnReader values;
};

std::vector<ReadColumn> read_columns(ColumnReader& in, const DictionaryReader& dictionary) {
  std::vector<ReadColumn> columns;
  const size_t count = in.count(3);
  columns.reserve(count);
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view key = dictionary.read(in);
    const uint8_t kind = in.u8();
    if (kind > static_cast<uint8_t>(Kind::json)) in.fail();
    columns.push_back({key, static_cast<Kind>(kind), ColumnReader(in.text())});
  }
  return columns;
}

std::vector<std::vector<uint32_t>> read_shapes(ColumnReader& in, size_t columns) {
  std::vector<std::vector<uint32_t>> shapes(in.count());
  for (auto& shape : shapes) {
    for (size_t width = in.count(); width > 0 && !in.failed(); --width) {
      const uint64_t column = in.varint();
      if (column >= columns) in.fail();
      shape.push_back(static_cast<uint32_t>(column));
    }
    if (in.failed()) break;
  }
  return shapes;
}

}  // namespace

std::vector<telemetry::AttributeRange> read_attribute_columns(
    ColumnReader& in, const DictionaryReader& dictionary, std::vector<telemetry::Attribute>& out) {
  std::vector<ReadColumn> columns = read_columns(in, dictionary);
  if (in.failed()) return {};
  const auto shapes = read_shapes(in, columns.size());
  // Which shape each record has, first: then the room for all is made once.
  std::vector<uint32_t> record_shapes(in.count());
  size_t total = 0;
  for (uint32_t& shape : record_shapes) {
    const uint64_t index = in.varint();
    if (index >= shapes.size()) in.fail();
    if (in.failed()) return {};
    shape = static_cast<uint32_t>(index);
    total += shapes[shape].size();
  }
  if (out.size() + total > kMaxChunkAttributes) {
    in.fail();
    return {};
  }
  out.reserve(out.size() + total);
  std::vector<telemetry::AttributeRange> ranges;
  ranges.reserve(record_shapes.size());
  for (const uint32_t shape : record_shapes) {
    const auto begin = static_cast<uint32_t>(out.size());
    for (const uint32_t index : shapes[shape]) {
      ReadColumn& column = columns[index];
      out.push_back({column.key, read_value(column.kind, dictionary, column.values)});
      if (column.values.failed()) in.fail();
    }
    if (in.failed()) break;
    ranges.push_back({begin, static_cast<uint32_t>(out.size())});
  }
  if (in.failed()) ranges.clear();
  return ranges;
}

}  // namespace hms::collector
