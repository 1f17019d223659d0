#include "collector/store/log_chunk.h"

#include <algorithm>

#include "collector/store/chunk_attribute_table.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_messages.h"
#include "collector/store/chunk_resources.h"

namespace hms::collector {
namespace {

using telemetry::LogBatch;
using telemetry::LogView;
using Kind = telemetry::AttributeValue::Kind;

constexpr uint8_t kHasTrace = 1, kHasSpan = 2;

void write_columns(const std::vector<LogSource>& logs, Packing packing, ColumnWriter& out) {
  DictionaryWriter dictionary;
  ResourceColumns resources(dictionary);
  ValueColumnWriter levels(Kind::text), severities(Kind::text), trace_texts(Kind::text);
  AttributeTableWriter attributes;
  MessagesWriter messages;
  std::vector<uint32_t> senders;
  std::vector<uint64_t> steps;
  std::string numbers, present;
  ColumnWriter ids;
  uint64_t last = logs.empty() ? 0 : logs.front().log->time_unix_nanos;
  out.varint(logs.size());
  out.zigzag(static_cast<int64_t>(last));
  for (const LogSource& source : logs) {
    const LogView& log = *source.log;
    steps.push_back(last - log.time_unix_nanos);
    last = log.time_unix_nanos;
    numbers.push_back(static_cast<char>(log.severity_number));
    levels.add_text(log.level);
    severities.add_text(log.severity);
    trace_texts.add_text(log.trace_text);
    senders.push_back(resources.add(*source.batch, log.resource));
    messages.add(log.message);
    // One byte for the many lines that belong to no trace.
    present.push_back(static_cast<char>((log.trace_id.is_zero() ? 0 : kHasTrace) |
                                        (log.span_id.is_zero() ? 0 : kHasSpan)));
    if (!log.trace_id.is_zero()) ids.raw(bytes_of(log.trace_id));
    if (!log.span_id.is_zero()) ids.raw(bytes_of(log.span_id));
    attributes.add(attributes_in(*source.batch, log.attributes));
  }
  const CodeBase bases[] = {{senders, resources.size()}, levels.base()};
  write_resource_section(dictionary, resources, out, packing);
  write_codes(out, senders, resources.size(), {}, {}, packing);
  write_numbers(out, steps, packing);
  write_block(out, numbers, packing);
  levels.write(out, {bases, 1}, packing);
  severities.write(out, bases, packing);
  trace_texts.write(out, bases, packing);
  messages.write(out, packing);
  write_block(out, present, packing);
  out.raw(ids.bytes());
  attributes.write(out, bases, packing);
}

}  // namespace

void sort_newest_first(std::vector<LogSource>& logs) {
  std::reverse(logs.begin(), logs.end());
  std::stable_sort(logs.begin(), logs.end(), [](const LogSource& a, const LogSource& b) {
    return a.log->time_unix_nanos > b.log->time_unix_nanos;
  });
}

std::string encode_log_chunk(const std::vector<LogSource>& logs, Packing packing) {
  ColumnWriter columns;
  write_columns(logs, packing, columns);
  const bool whole = packing == Packing::none;
  std::string stored{static_cast<char>(kLogChunkVersion),
                     static_cast<char>(whole ? kLogsWhole : kLogsByBlock)};
  if (whole)
    pack_whole(columns.bytes(), stored);
  else
    stored += columns.bytes();
  return stored;
}

namespace {

class LogColumnsReader {
 public:
  LogColumnsReader(ColumnReader in, LogBatch& batch) : in_(in), batch_(batch) {}

  [[nodiscard]] bool read() {
    const uint64_t rows = in_.varint();
    // A line takes at least a byte: that of its flags may be shared, that of its ids may not.
    if (rows > kMaxChunkRows) in_.fail();
    uint64_t time = static_cast<uint64_t>(in_.zigzag());
    read_resource_section(in_, batch_, arena_);
    if (in_.failed()) return false;
    senders_ = Codes::read(in_, rows, batch_.resources.size(), {}, arena_);
    const Numbers steps = Numbers::read(in_, rows, arena_);
    const std::string_view numbers = read_block(in_, rows, arena_);
    if (in_.failed()) return false;
    const ValueColumn levels = texts(rows, {bases_, 1});
    levels_ = levels.codes();
    const ValueColumn severities = texts(rows, bases_), trace_texts = texts(rows, bases_);
    std::vector<std::string_view> messages;
    if (!in_.failed()) read_messages(in_, rows, arena_, messages);
    const std::string_view present = read_block(in_, rows, arena_);
    if (in_.failed() || messages.size() != rows) return false;
    batch_.logs.resize(rows);
    for (size_t row = 0; row < rows; ++row) {
      LogView& log = batch_.logs[row];
      log.time_unix_nanos = time -= steps.at(row);
      log.severity_number = static_cast<uint8_t>(numbers[row]);
      log.level = levels.text_at(row);
      log.severity = severities.text_at(row);
      log.trace_text = trace_texts.text_at(row);
      log.resource = senders_.at(row, row);
      log.message = messages[row];
      const auto flags = static_cast<uint8_t>(present[row]);
      if (flags & kHasTrace) log.trace_id = read_id<telemetry::TraceId>(in_);
      if (flags & kHasSpan) log.span_id = read_id<telemetry::SpanId>(in_);
    }
    return !in_.failed() && read_attributes(static_cast<uint32_t>(rows));
  }
  [[nodiscard]] BlockArena& arena() noexcept { return arena_; }

 private:
  ValueColumn texts(size_t rows, std::span<const Codes* const> bases) {
    if (in_.failed()) return {};
    return ValueColumn::read(in_, Kind::text, rows, bases, arena_);
  }
  bool read_attributes(uint32_t rows) {
    AttributeTable table;
    table.read(in_, rows, bases_, arena_);
    if (in_.failed()) return false;
    batch_.attributes.reserve(batch_.attributes.size() + table.total());
    for (uint32_t row = 0; row < rows; ++row) {
      auto& range = batch_.logs[row].attributes;
      range.begin = static_cast<uint32_t>(batch_.attributes.size());
      if (!table.append(row, batch_.attributes)) return false;
      range.end = static_cast<uint32_t>(batch_.attributes.size());
    }
    return true;
  }

  ColumnReader in_;
  LogBatch& batch_;
  BlockArena arena_;
  Codes senders_, levels_;
  const Codes* const bases_[2] = {&senders_, &levels_};
};

}  // namespace

net::Result<std::shared_ptr<const LogBatch>> decode_log_chunk(std::string_view stored) {
  if (!stored.empty() && stored.front() == 2) return decode_log_chunk_v2(stored);
  if (auto checked = check_version(kLogChunkVersion, stored); !checked)
    return std::move(checked).error();
  auto batch = std::make_shared<LogBatch>();
  std::string columns(stored.substr(std::min<size_t>(stored.size(), 2)));
  const auto form = static_cast<uint8_t>(stored.size() > 1 ? stored[1] : kLogsByBlock + 1);
  if (form > kLogsByBlock) return corrupt_chunk("log chunk");
  if (form == kLogsWhole) {
    auto unpacked = unpack_whole(columns);
    if (!unpacked) return std::move(unpacked).error();
    columns = std::move(unpacked).value();
  }
  batch->body = std::make_unique<const std::string>(std::move(columns));
  LogColumnsReader reader(ColumnReader(*batch->body), *batch);
  if (!reader.read()) return corrupt_chunk("log chunk");
  batch->arena = reader.arena().take();
  return std::shared_ptr<const LogBatch>(std::move(batch));
}

StoredLog stored_log(const LogBatch& batch, const LogView& view) {
  StoredLog log;
  store_common(batch, view, log);
  log.time_unix_nanos = view.time_unix_nanos;
  log.severity_number = view.severity_number;
  log.level = view.level;
  log.severity = view.severity;
  log.message = view.message;
  return log;
}

}  // namespace hms::collector
