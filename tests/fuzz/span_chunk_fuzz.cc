// Whatever bytes a stored chunk of spans holds, asking it ends with spans or an error. The first
// byte chooses the form; then, for parts that are apart, two bytes say where the ids begin. Forms:
// version 1; version 2 with both parts in one frame; version 2 with the parts apart.
#include <cstdint>
#include <string>

#include "collector/store/chunk_block.h"
#include "collector/store/chunk_columns.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_room.h"

using namespace hms::collector;

namespace {

void ask(const std::string& stored, const SpanChunk::ReadIds& read_ids) {
  const auto opened = SpanChunk::open(stored);
  if (!opened.ok()) return;
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.tags = {{"k", "1"}};
  (void)(*opened)->find(query, read_ids);
  query.tags.clear();
  const auto hits = (*opened)->find(query, read_ids);
  if (hits.ok() && !hits->empty()) {
    std::vector<StoredSpan> spans;
    SpanRoom room(1'000'000);
    room.begin(Trace());
    (void)(*opened)->trace(hits->back().id, read_ids, room, spans);
  }
  const auto whole = (*opened)->take_all(read_ids);
  if (!whole.ok()) return;
  for (const auto& span : (*whole)->spans) (void)stored_span(**whole, span);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  if (data[0] % 3 == 0) {
    ask(seal_chunk(1, bytes), {});
  } else if (data[0] % 3 == 1) {
    std::string stored{static_cast<char>(kSpanChunkVersion), static_cast<char>(kPartsTogether)};
    pack_whole(bytes, stored);
    ask(stored, {});
  } else {
    const size_t split = (size_t{data[1]} << 8 | data[2]) % (bytes.size() + 1);
    std::string fields{static_cast<char>(kSpanChunkVersion), static_cast<char>(kPartsApart)};
    fields += bytes.substr(0, split);
    std::string ids{static_cast<char>(kSpanChunkVersion)};
    ids += bytes.substr(split);
    ask(fields, [&ids] { return hms::net::Result<std::string>(ids); });
  }
  return 0;
}
