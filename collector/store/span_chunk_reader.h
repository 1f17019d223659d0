// span_chunk_reader.h: a chunk of spans, opened by column: a question unpacks the columns it looks
// at, and only the rows that are its answer become spans.
//
// The ids are read from the disk when first needed, through `ReadIds` (span_chunk.h). What is
// unpacked stays for the next question. Thread: any, one question at a time (a lock inside).
// Limits: kMaxChunkRows, kMaxChunkBytes. Source of the form: docs/storage-format.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/chunk_attribute_table.h"
#include "collector/store/span_store.h"
#include "telemetry/model.h"

namespace hms::collector {

class SpanRoom;

/// A trace of which some span of a chunk fits, and when the first of those began.
struct SpanHit {
  uint64_t start_unix_nanos = 0;
  telemetry::TraceId id;
};

class SpanChunk {
 public:
  using ReadIds = std::function<net::Result<std::string>()>;  // the value of span_ids
  /// The value of span_chunk, of any version. Errors: corrupt, unsupported.
  [[nodiscard]] static net::Result<std::shared_ptr<SpanChunk>> open(std::string stored);

  /// The traces with a span that fits, in the order of their ids.
  [[nodiscard]] net::Result<std::vector<SpanHit>> find(const TraceQuery& query,
                                                       const ReadIds& read_ids);
  /// Appends the spans of a trace, as far as there is room.
  [[nodiscard]] net::Result<void> trace(const telemetry::TraceId& id, const ReadIds& read_ids,
                                        SpanRoom& room, std::vector<StoredSpan>& out);
  /// Everything; ends this chunk's life.
  [[nodiscard]] net::Result<std::shared_ptr<const telemetry::TraceBatch>> take_all(
      const ReadIds& read_ids);
  /// About what it holds in memory now.
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Events {
    size_t count = 0;
    Numbers counts, times;
    ValueColumn names;
    AttributeTable attributes;
  };
  struct Links {
    size_t count = 0;
    Numbers counts;
    std::string_view bytes;
  };
  enum Section {
    kResources,
    kNames,
    kSenders,
    kKinds,
    kAttributes,
    kMessages,
    kScopes,
    kTraceTexts,
    kEvents,
    kLinks,
    kSections
  };

  SpanChunk() = default;
  [[nodiscard]] net::Result<void> open_fields(std::string_view fields);
  [[nodiscard]] net::Result<void> need_ids(const ReadIds& read_ids);
  [[nodiscard]] bool open_ids(std::string_view ids);
  // Each opens its section once. False: it is corrupt.
  [[nodiscard]] bool need(Section section);
  void read_section(Section section, ColumnReader in);
  void read_senders(ColumnReader& in);
  [[nodiscard]] bool need_all();
  [[nodiscard]] bool keep_fitting(const TraceQuery& query, std::vector<uint32_t>& rows);
  [[nodiscard]] bool keep_tagged(const std::pair<std::string, std::string>& tag,
                                 std::vector<uint32_t>& rows);
  [[nodiscard]] std::vector<SpanHit> hits_among(const TraceQuery& query,
                                                const std::vector<uint32_t>& rows) const;
  [[nodiscard]] size_t run_of(size_t row) const noexcept;
  [[nodiscard]] telemetry::TraceId trace_of(size_t run) const noexcept;
  [[nodiscard]] telemetry::SpanId span_id_of(size_t row) const noexcept;
  [[nodiscard]] std::pair<size_t, size_t> rows_of(const telemetry::TraceId& id) const noexcept;
  /// Appends rows [first, last), which begin a trace. False: a column is corrupt.
  [[nodiscard]] bool materialize(size_t first, size_t last, telemetry::TraceBatch& batch);
  [[nodiscard]] bool add_events(size_t first, size_t last, telemetry::TraceBatch& batch);
  void add_links(size_t first, size_t last, telemetry::TraceBatch& batch) const;
  void count_bytes() noexcept;

  std::mutex mutex_;
  std::atomic<uint64_t> bytes_{0};
  std::shared_ptr<const telemetry::TraceBatch> old_;  // version 1: all of it
  BlockArena arena_;
  size_t rows_ = 0;
  std::string_view sections_[kSections];
  bool opened_[kSections] = {};
  std::string_view ids_in_fields_;  // of a small chunk
  bool has_ids_ = false;

  telemetry::BatchStorage resources_;
  ValueColumn names_, messages_, scopes_, trace_texts_;
  Codes senders_;
  const Codes* bases_[2] = {&names_.codes(), &senders_};
  std::string_view kinds_;
  AttributeTable attributes_;
  Events events_;
  Links links_;

  std::vector<uint32_t> run_ends_;
  std::string_view trace_planes_[sizeof(telemetry::TraceId)];
  std::string_view span_ids_, strangers_;
  Numbers parents_, firsts_, steps_, durations_;
};

/// The whole of a stored chunk. `read_ids`: for one whose parts are apart. Errors: as open.
[[nodiscard]] net::Result<std::shared_ptr<const telemetry::TraceBatch>> decode_span_chunk(
    std::string_view stored, const SpanChunk::ReadIds& read_ids = {});
[[nodiscard]] net::Result<std::shared_ptr<const telemetry::TraceBatch>> decode_span_chunk_v1(
    std::string_view stored);
/// A copy that outlives the batch.
[[nodiscard]] StoredSpan stored_span(const telemetry::TraceBatch& batch,
                                     const telemetry::SpanView& span);

}  // namespace hms::collector
