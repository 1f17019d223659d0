// chunk_resources.h: the senders of a chunk's records, each once (docs/storage-format.md,
// "Resources"). Thread: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_block.h"
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
  /// How many there are, and where each was seen first.
  [[nodiscard]] size_t size() const noexcept { return sources_.size(); }
  [[nodiscard]] const telemetry::ResourceView& view(uint32_t number) const {
    return sources_[number].first->resources[sources_[number].second];
  }
  [[nodiscard]] const telemetry::BatchStorage& batch(uint32_t number) const {
    return *sources_[number].first;
  }

 private:
  using Place = std::pair<const telemetry::BatchStorage*, uint32_t>;
  DictionaryWriter& dictionary_;
  AttributeColumnsWriter attributes_;
  ColumnWriter names_;
  std::map<Place, uint32_t> by_place_;
  std::map<std::string, uint32_t> by_content_;
  std::vector<Place> sources_;
  // What was asked for lately, by hash: most records are of few senders.
  std::vector<std::pair<Place, uint32_t>> lately_ = std::vector<std::pair<Place, uint32_t>>(256);
};

/// With the dictionary that is theirs alone, in a block.
void write_resource_section(const DictionaryWriter& dictionary, const ResourceColumns& resources,
                            ColumnWriter& out, Packing packing);
void read_resource_section(ColumnReader& in, telemetry::BatchStorage& batch, BlockArena& arena);

/// Appends them to the batch. A wrong one sets `in.failed()`.
void read_resources(ColumnReader& in, const DictionaryReader& dictionary,
                    telemetry::BatchStorage& batch);

}  // namespace hms::collector
