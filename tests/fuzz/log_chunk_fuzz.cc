// Whatever bytes a stored chunk of log lines holds, reading it ends with lines or an error. The
// first byte chooses the version; the rest are the columns.
#include <cstdint>

#include "collector/store/chunk_block.h"
#include "collector/store/chunk_columns.h"
#include "collector/store/log_chunk.h"

using namespace hms::collector;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view columns(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string stored;
  if (data[0] % 3 == 0) {
    stored = seal_chunk(2, columns);
  } else if (data[0] % 3 == 1) {
    stored = {static_cast<char>(kLogChunkVersion), static_cast<char>(kLogsWhole)};
    pack_whole(columns, stored);
  } else {
    stored = {static_cast<char>(kLogChunkVersion), static_cast<char>(kLogsByBlock)};
    stored += columns;
  }
  const auto chunk = decode_log_chunk(stored);
  if (!chunk.ok()) return 0;
  for (const auto& log : (*chunk)->logs) (void)stored_log(**chunk, log);
  return 0;
}
