// Whatever bytes a stored span or log chunk holds, reading it ends with rows or an error. The first
// byte chooses the kind; the rest are the columns.
#include <cstdint>

#include "collector/store/log_chunk.h"
#include "collector/store/span_chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view columns(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string stored = hms::collector::seal_chunk(1, columns);
  if (data[0] & 1) {
    const auto chunk = hms::collector::SpanChunk::decode(stored);
    for (size_t row = 0; chunk.ok() && row < (*chunk)->size(); ++row) (void)(*chunk)->span(row);
  } else {
    const auto chunk = hms::collector::LogChunk::decode(stored);
    for (size_t row = 0; chunk.ok() && row < (*chunk)->size(); ++row) (void)(*chunk)->log(row);
  }
  return 0;
}
