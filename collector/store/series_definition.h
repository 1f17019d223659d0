// series_definition.h: the stored form of a series' labels and of what is known of its metric.
// Format: docs/storage-format.md. Thread: values.
#pragma once

#include <string>
#include <string_view>

#include "collector/store/kv.h"
#include "collector/store/series_store.h"
#include "net/core/result.h"

namespace hms::collector {

struct SeriesDefinition {
  LabelSet labels;
  MetricMetadata metric;  // type always; help and unit with the first series of a metric
};

[[nodiscard]] std::string write_definition(const SeriesDefinition& definition);
/// Errors: corrupt, unsupported.
[[nodiscard]] net::Result<SeriesDefinition> read_definition(std::string_view stored);

/// Keys. A day's family holds an empty `series_definition` key for each series with points on that
/// day.
[[nodiscard]] std::string series_definition_key(uint32_t series);
[[nodiscard]] std::string series_chunk_key(uint32_t series, uint32_t epoch);
[[nodiscard]] std::string series_log_key(uint32_t epoch, uint32_t sequence);

}  // namespace hms::collector
