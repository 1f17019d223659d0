// chunk_resources.h: the senders of a chunk's records, each once (docs/storage-format.md,
// "Resources"). Thread: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_columns.h"
#include "telemetry/model.h"

namespace hms::collector {

/// Told apart by the batch and index they came from, and, as a full chunk holds many small batches
/// of the same senders, by what they say.
class ResourceColumns {
 public:
  explicit ResourceColumns(DictionaryWriter& dictionary)
      : dictionary_(dictionary), attributes_(dictionary) {}
  /// The number of a resource in this chunk.
  uint32_t add(const telemetry::BatchStorage& batch, uint32_t resource);
  void write(ColumnWriter& out) const;

 private:
  DictionaryWriter& dictionary_;
  AttributeColumnsWriter attributes_;
  ColumnWriter names_;
  std::map<std::pair<const telemetry::BatchStorage*, uint32_t>, uint32_t> by_place_;
  std::map<std::string, uint32_t> by_content_;
};

/// Appends them to the batch. A wrong one sets `in.failed()`.
void read_resources(ColumnReader& in, const DictionaryReader& dictionary,
                    telemetry::BatchStorage& batch);

}  // namespace hms::collector
