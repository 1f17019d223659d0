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
#include "collector/store/span_store.h"
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

class AttributeColumnsReader {
 public:
  AttributeColumnsReader(ColumnReader& in, const DictionaryReader& dictionary);
  [[nodiscard]] std::vector<StoredAttribute> record(size_t index) const;
  [[nodiscard]] size_t records() const noexcept { return begins_.empty() ? 0 : begins_.size() - 1; }

 private:
  struct View {
    std::string_view key;
    telemetry::AttributeValue value;
  };
  std::vector<View> values_;
  std::vector<uint32_t> begins_;  // record i: values_[begins_[i] .. begins_[i + 1])
};

}  // namespace hms::collector
