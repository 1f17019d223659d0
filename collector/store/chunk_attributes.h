// chunk_attributes.h: the attributes of a chunk's records, one column per (key, kind), as every
// record of a service tends to have the same ones.
//
// A record's list of columns is its shape; shapes are few and stored once, so a record costs one
// small integer and its values.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "collector/store/chunk_columns.h"
#include "telemetry/model.h"

namespace hms::collector {

class AttributeColumnsWriter {
 public:
  explicit AttributeColumnsWriter(DictionaryWriter& dictionary) : dictionary_(dictionary) {}
  /// The next record's attributes, in order.
  void add(std::span<const telemetry::Attribute> attributes);
  void write(ColumnWriter& out) const;

 private:
  struct Column {
    uint32_t key;
    telemetry::AttributeValue::Kind kind;
    ColumnWriter values;
  };
  uint32_t column_of(const telemetry::Attribute& attribute);
  DictionaryWriter& dictionary_;
  std::map<std::pair<uint32_t, uint8_t>, uint32_t> column_indices_;
  std::vector<Column> columns_;
  std::map<std::vector<uint32_t>, uint32_t> shape_indices_;
  std::vector<std::vector<uint32_t>> shapes_;
  std::vector<uint32_t> record_shapes_;
};

/// Reads what a writer wrote: appends the attributes of all records to `out`, and gives the range
/// of each record.
[[nodiscard]] std::vector<telemetry::AttributeRange> read_attribute_columns(
    ColumnReader& in, const DictionaryReader& dictionary, std::vector<telemetry::Attribute>& out);

}  // namespace hms::collector
