// What stands beside chunks and is read before them: summaries, filters, keys and cursors of any
// bytes. Each ends with an answer; what cannot be read refuses no chunk.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "collector/store/chunk_filter.h"
#include "collector/store/log_search.h"
#include "collector/store/span_index.h"
#include "collector/store/span_summary.h"
#include "tests/support/memory_kv.h"

using namespace hms::collector;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  const bool all = SummaryQuestion(query).may_fit(bytes, 1'000'000'000'000);
  query.operation = "GET /";
  query.min_duration_nanos = 5'000'000;
  query.error = size % 2 == 0;
  if (SummaryQuestion(query).may_fit(bytes, 1'000'000'000'000) && !all) std::abort();

  FilterQuestion question;
  if (!question.may_match(bytes)) std::abort();  // nothing was asked for
  question.need_text(bytes.substr(0, size / 2));
  question.need_attribute(bytes.substr(0, size / 3), bytes.substr(size / 3));
  (void)question.may_match(bytes);
  FilterBuilder builder;
  builder.add_text(bytes);
  builder.add_attribute(bytes.substr(0, size / 3), bytes.substr(size / 3));
  if (!question.may_match(builder.finish())) std::abort();

  SummaryKeyParts parts;
  if (parse_summary_key(bytes, parts) &&
      trace_summary_key(parts.service, parts.newest_start, parts.chunk).substr(1) !=
          bytes.substr(1))
    std::abort();

  static const MemoryKv empty;
  static LogChunkCache cache(1'000'000);
  LogQuery logs;
  logs.cursor = bytes;
  (void)search_logs(empty, {}, cache, logs, {});
  return 0;
}
