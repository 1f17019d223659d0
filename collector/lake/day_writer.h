// day_writer.h: from a day of the hot store to files of the lake, in bounded memory.
//
// Spans and logs go through an external sort (their chunks are by arrival), series are asked one by
// one in the order of the files. Nothing here touches the destination. Thread: the roller's.
#pragma once

#include <functional>
#include <string>

#include "collector/lake/manifest.h"
#include "collector/store/kv.h"
#include "collector/store/series_store.h"

namespace hms::collector {

struct DayWriterOptions {
  std::string folder;  // for the files and for sorting; emptied by the caller
  uint64_t sort_memory_bytes = 48ULL * 1024 * 1024;
  uint64_t max_file_bytes = 256ULL * 1024 * 1024;
  /// Asked now and then; true ends with Code::canceled.
  std::function<bool()> cancelled;
  /// A table is begun.
  std::function<void(LakeTable)> on_table;
};

/// Writes all tables of the day. The manifest is complete but for `store` and `rolled_at`.
/// Errors: io, no_space, corrupt (the hot store), canceled.
[[nodiscard]] net::Result<LakeManifest> write_day(const KvReader& reader,
                                                  const SeriesSource& series, Family day,
                                                  const DayWriterOptions& options);

}  // namespace hms::collector
