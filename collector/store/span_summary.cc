#include "collector/store/span_summary.h"

#include <algorithm>

#include "collector/store/chunk_columns.h"

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;

struct Operation {
  std::string_view name;
  uint64_t longest_micros = 0;  // rounded up: it is an upper bound
  bool error = false;
};
struct Entry {
  size_t row = 0;
  uint64_t start = UINT64_MAX;
  std::vector<Operation> operations;
};

void add_span(Entry& entry, const telemetry::SpanView& span) {
  entry.start = std::min(entry.start, span.start_unix_nanos);
  auto it = std::find_if(entry.operations.begin(), entry.operations.end(),
                         [&span](const Operation& o) { return o.name == span.name; });
  if (it == entry.operations.end())
    it = entry.operations.insert(entry.operations.end(), {span.name, 0, false});
  const uint64_t nanos =
      span.end_unix_nanos > span.start_unix_nanos ? span.end_unix_nanos - span.start_unix_nanos : 0;
  it->longest_micros = std::max(it->longest_micros, nanos / 1'000 + (nanos % 1'000 != 0 ? 1 : 0));
  it->error = it->error || span.status == telemetry::SpanStatus::error;
}

ServiceSummary encode(const std::vector<Entry>& entries) {
  ServiceSummary summary;
  for (const Entry& entry : entries)
    summary.newest_start = std::max(summary.newest_start, entry.start);
  DictionaryWriter names;
  ColumnWriter rows, starts, counts, operations, durations;
  size_t last_row = 0;
  for (const Entry& entry : entries) {
    rows.varint(entry.row - last_row);
    last_row = entry.row;
    starts.varint(summary.newest_start - entry.start);
    counts.varint(entry.operations.size());
    for (const Operation& operation : entry.operations) {
      operations.varint(uint64_t{names.add(operation.name)} << 1 | (operation.error ? 1 : 0));
      durations.varint(operation.longest_micros);
    }
  }
  ColumnWriter out;
  out.u8(kVersion);
  names.write(out);
  out.varint(entries.size());
  for (const ColumnWriter* column : {&rows, &starts, &counts, &operations, &durations})
    out.raw(column->bytes());
  summary.value = out.bytes();
  return summary;
}

struct OperationFits {
  const TraceQuery& query;
  bool operator()(std::string_view name, uint64_t longest_micros, bool error) const {
    if (!query.operation.empty() && name != query.operation) return false;
    if (query.error == true && !error) return false;
    return longest_micros * 1'000 >= query.min_duration_nanos;
  }
};

}  // namespace

std::map<std::string, ServiceSummary, std::less<>> summarize(const std::vector<SpanSource>& spans) {
  std::map<std::string_view, std::vector<Entry>> services;
  size_t trace_begin = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    const telemetry::SpanView& span = *spans[i].span;
    if (span.trace_id != spans[trace_begin].span->trace_id) trace_begin = i;
    const std::string_view name = spans[i].batch->resources[span.resource].service_name;
    auto& entries = services[name.substr(0, name.find('\0'))];
    if (entries.empty() || entries.back().row != trace_begin)
      entries.push_back({trace_begin, UINT64_MAX, {}});
    add_span(entries.back(), span);
  }
  std::map<std::string, ServiceSummary, std::less<>> out;
  for (const auto& [service, entries] : services) out.emplace(service, encode(entries));
  return out;
}

std::vector<SummaryHit> summary_hits(std::string_view value, uint64_t newest_start,
                                     const TraceQuery& query) {
  ColumnReader in(value);
  std::vector<SummaryHit> hits;
  if (in.u8() != kVersion) return hits;
  const DictionaryReader names(in);
  std::vector<SummaryHit> entries(in.count(5));
  uint64_t row = 0;
  for (SummaryHit& entry : entries) entry.row = static_cast<uint32_t>(row += in.varint());
  for (SummaryHit& entry : entries) entry.start_unix_nanos = newest_start - in.varint();
  std::vector<size_t> counts(entries.size());
  size_t total = 0;
  for (size_t& count : counts) {
    count = in.count();
    total += count;
    if (in.failed() || total > value.size()) return {};
  }
  std::vector<uint64_t> operations(total);
  for (uint64_t& operation : operations) operation = in.varint();
  const OperationFits fits{query};
  size_t next = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    bool fit = false;
    for (size_t n = 0; n < counts[i]; ++n) {
      const uint64_t operation = operations[next++];
      const uint64_t longest = in.varint();
      fit = fit || fits(names.at(operation >> 1, in), longest, (operation & 1) != 0);
    }
    const uint64_t start = entries[i].start_unix_nanos;
    if (fit && start >= query.start_unix_nanos && start <= query.end_unix_nanos)
      hits.push_back(entries[i]);
  }
  if (in.failed()) hits.clear();
  return hits;
}

}  // namespace hms::collector
