// model.cc: look-ups in decoded batches.
#include "telemetry/model.h"

namespace hms::telemetry {

const Attribute* find_attribute(const BatchStorage& batch, AttributeRange range,
                                std::string_view key) noexcept {
  for (uint32_t i = range.begin; i < range.end && i < batch.attributes.size(); ++i) {
    if (batch.attributes[i].key == key) return &batch.attributes[i];
  }
  return nullptr;
}

}  // namespace hms::telemetry
