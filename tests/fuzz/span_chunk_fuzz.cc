// Whatever bytes a stored span or log chunk holds, reading it ends with rows or an error. The first
// byte chooses the kind; the rest are the columns.
#include <cstdint>

#include "collector/store/chunk_columns.h"
#include "collector/store/log_chunk.h"
#include "collector/store/span_chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view columns(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] & 1) {
    const auto chunk = hms::collector::decode_span_chunk(hms::collector::seal_chunk(1, columns));
    if (!chunk.ok()) return 0;
    for (const auto& span : (*chunk)->spans) (void)hms::collector::stored_span(**chunk, span);
  } else {
    const auto chunk = hms::collector::decode_log_chunk(hms::collector::seal_chunk(2, columns));
    if (!chunk.ok()) return 0;
    for (const auto& log : (*chunk)->logs) (void)hms::collector::stored_log(**chunk, log);
  }
  return 0;
}
