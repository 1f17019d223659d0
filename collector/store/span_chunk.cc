#include "collector/store/span_chunk.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <set>
#include <unordered_map>

#include "collector/store/chunk_attribute_table.h"
#include "collector/store/chunk_filter.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/span_match.h"
#include "collector/store/span_summary.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanView;
using telemetry::TraceId;
using Kind = telemetry::AttributeValue::Kind;

/// The row of each span id of one trace.
class RowsOfTrace {
 public:
  RowsOfTrace(const std::vector<SpanSource>& spans, size_t begin, size_t end)
      : spans_(spans), begin_(begin), end_(end) {
    if (end - begin <= kFew) return;
    rows_.reserve(end - begin);
    for (size_t row = begin; row < end; ++row) rows_.try_emplace(spans[row].span->span_id, row);
  }
  /// `end` of the trace when it is not in it.
  [[nodiscard]] size_t find(const SpanId& id) const {
    if (end_ - begin_ > kFew) {
      const auto it = rows_.find(id);
      return it == rows_.end() ? end_ : it->second;
    }
    size_t row = begin_;
    while (row < end_ && !same_id(spans_[row].span->span_id, id)) ++row;
    return row;
  }

 private:
  static constexpr size_t kFew = 24;
  const std::vector<SpanSource>& spans_;
  const size_t begin_, end_;
  std::unordered_map<SpanId, size_t> rows_;
};

/// The part with ids and times.
class IdsWriter {
 public:
  IdsWriter(const std::vector<SpanSource>& spans, Packing packing)
      : spans_(spans), packing_(packing) {}
  void write(ColumnWriter& out) {
    steps_.reserve(spans_.size());
    durations_.reserve(spans_.size());
    parents_.reserve(spans_.size());
    for (size_t begin = 0; begin < spans_.size();) {
      size_t end = begin + 1;
      while (end < spans_.size() &&
             same_id(spans_[end].span->trace_id, spans_[begin].span->trace_id))
        ++end;
      add_trace(begin, end);
      begin = end;
    }
    out.varint(spans_.size());
    out.varint(lengths_.size());
    write_numbers(out, lengths_, packing_);
    write_traces(out);
    out.raw(ids_.bytes());
    write_numbers(out, parents_, packing_);
    out.text(strangers_.bytes());
    write_numbers(out, firsts_, packing_);
    write_numbers(out, steps_, packing_);
    write_numbers(out, durations_, packing_);
  }

 private:
  void add_trace(size_t begin, size_t end) {
    const RowsOfTrace rows(spans_, begin, end);
    lengths_.push_back(end - begin);
    uint64_t last = spans_[begin].span->start_unix_nanos;
    firsts_.push_back(last);
    for (size_t row = begin; row < end; ++row) {
      const SpanView& span = *spans_[row].span;
      ids_.raw(bytes_of(span.span_id));
      steps_.push_back(span.start_unix_nanos - last);
      last = span.start_unix_nanos;
      // A span that ends before it begins keeps both times: the difference is signed.
      durations_.push_back(span.end_unix_nanos - span.start_unix_nanos);
      add_parent(span.parent_span_id, row, rows, end);
    }
  }
  /// 0: none. 1: not in this trace here, 8 bytes among the strangers. Else how many rows before.
  void add_parent(const SpanId& parent, size_t row, const RowsOfTrace& rows, size_t end) {
    if (no_id(parent)) return parents_.push_back(0);
    const size_t found = rows.find(parent);
    if (found == end) {
      parents_.push_back(1);
      return strangers_.raw(bytes_of(parent));
    }
    const auto back = static_cast<int64_t>(row) - static_cast<int64_t>(found);
    parents_.push_back(2 +
                       ((static_cast<uint64_t>(back) << 1) ^ static_cast<uint64_t>(back >> 63)));
  }
  void write_traces(ColumnWriter& out) const {
    std::string plane(lengths_.size(), '\0');
    for (size_t byte = 0; byte < sizeof(TraceId); ++byte) {
      size_t row = 0;
      for (size_t run = 0; run < lengths_.size(); row += lengths_[run++])
        plane[run] = static_cast<char>(spans_[row].span->trace_id.bytes[byte]);
      write_block(out, plane, packing_);
    }
  }

  const std::vector<SpanSource>& spans_;
  const Packing packing_;
  std::vector<uint64_t> lengths_, parents_, firsts_, steps_, durations_;
  ColumnWriter ids_, strangers_;
};

/// The part with everything else, and what is known of the chunk once it is written.
class FieldsWriter {
 public:
  FieldsWriter(const std::vector<SpanSource>& spans, Packing packing)
      : spans_(spans), packing_(packing), resources_(dictionary_) {
    for (const SpanSource& source : spans) add(*source.batch, *source.span);
  }

  void write(ColumnWriter& out) const {
    const CodeBase bases[] = {names_.base(), {senders_, resources_.size()}};
    out.varint(spans_.size());
    write_section(out, [&](ColumnWriter& section) {
      write_resource_section(dictionary_, resources_, section, packing_);
    });
    write_section(out, [&](ColumnWriter& section) { names_.write(section, {}, packing_); });
    write_section(out, [&](ColumnWriter& section) {
      section.varint(resources_.size());
      write_codes(section, senders_, resources_.size(), {}, {bases, 1}, packing_);
    });
    write_section(out, [&](ColumnWriter& section) { write_block(section, kinds_, packing_); });
    write_section(out, [&](ColumnWriter& section) { attributes_.write(section, bases, packing_); });
    for (const ValueColumnWriter* column : {&messages_, &scopes_, &trace_texts_})
      write_section(out, [&](ColumnWriter& section) { column->write(section, bases, packing_); });
    write_section(out, [&](ColumnWriter& section) { write_events(section); });
    write_section(out, [&](ColumnWriter& section) {
      section.varint(links_.size() / kLinkBytes);
      if (links_.size() == 0) return;
      write_numbers(section, link_counts_, packing_);
      section.raw(links_.bytes());
    });
  }

  [[nodiscard]] std::string filter() const {
    FilterBuilder filter;
    attributes_.each_value([&](std::string_view key, const telemetry::AttributeValue& value) {
      filter.add_attribute(key, attribute_text(value));
    });
    for (uint32_t number = 0; number < resources_.size(); ++number) {
      for (const telemetry::Attribute& a :
           attributes_in(resources_.batch(number), resources_.view(number).attributes))
        filter.add_attribute(a.key, attribute_text(a.value));
    }
    return filter.finish();
  }

  [[nodiscard]] std::map<std::string, ServiceSummary, std::less<>> summaries() const {
    DistinctNumbers operations;  // resource and name
    std::vector<OperationBounds> bounds;
    const std::vector<uint64_t> of_senders = bits_of_senders();
    const std::vector<uint64_t> bits = attributes_.bits_of_records(
        kFewValues,
        [](std::string_view key, const telemetry::AttributeValue& value) {
          return attribute_bit(key, attribute_text(value));
        },
        key_bit);
    for (size_t row = 0; row < spans_.size(); ++row) {
      const SpanView& span = *spans_[row].span;
      const uint32_t number = operations.add(uint64_t{senders_[row]} << 32 | names_.codes()[row]);
      if (number == bounds.size()) bounds.emplace_back();
      OperationBounds& of = bounds[number];
      of.oldest_start = std::min(of.oldest_start, span.start_unix_nanos);
      of.newest_start = std::max(of.newest_start, span.start_unix_nanos);
      of.longest_nanos =
          std::max(of.longest_nanos, duration_of(span.start_unix_nanos, span.end_unix_nanos));
      const bool failed = span.status == telemetry::SpanStatus::error;
      of.attributes |= bits[row] | of_senders[senders_[row]];
      of.some_failed = of.some_failed || failed;
      of.some_not_failed = of.some_not_failed || !failed;
    }
    std::map<std::string_view, std::vector<OperationBounds>> services;
    for (size_t i = 0; i < bounds.size(); ++i) {
      const uint64_t key = operations.values()[i];
      OperationBounds& of = bounds[i];
      const std::string_view name = resources_.view(static_cast<uint32_t>(key >> 32)).service_name;
      of.name = names_.texts()[key & UINT32_MAX];
      services[name.substr(0, name.find('\0'))].push_back(of);
    }
    std::map<std::string, ServiceSummary, std::less<>> out;
    for (auto& [service, of_service] : services) {
      // In one order in every chunk: neighbours on disk are much alike.
      std::sort(of_service.begin(), of_service.end(),
                [](const auto& a, const auto& b) { return a.name < b.name; });
      uint64_t newest = 0;
      for (const OperationBounds& of : of_service) newest = std::max(newest, of.newest_start);
      out.emplace(service, ServiceSummary{newest, encode_summary(of_service, newest)});
    }
    return out;
  }

 private:
  static constexpr size_t kLinkBytes = sizeof(TraceId) + sizeof(SpanId);

  /// As for the spans' own attributes.
  [[nodiscard]] std::vector<uint64_t> bits_of_senders() const {
    const auto each = [this](const auto& visit) {
      for (uint32_t number = 0; number < resources_.size(); ++number) {
        for (const telemetry::Attribute& a :
             attributes_in(resources_.batch(number), resources_.view(number).attributes))
          visit(number, a.key, attribute_text(a.value));
      }
    };
    std::map<std::string_view, std::set<std::string>> values;
    each([&](uint32_t, std::string_view key, std::string text) {
      if (auto& of = values[key]; of.size() <= kFewValues) of.insert(std::move(text));
    });
    std::vector<uint64_t> bits(resources_.size());
    each([&](uint32_t number, std::string_view key, const std::string& text) {
      bits[number] |= values[key].size() > kFewValues ? key_bit(key) : attribute_bit(key, text);
    });
    return bits;
  }

  template <class Fill>
  static void write_section(ColumnWriter& out, const Fill& fill) {
    ColumnWriter section;
    fill(section);
    out.text(section.bytes());
  }

  void add(const telemetry::TraceBatch& batch, const SpanView& span) {
    add_sender_and_name(batch, span, attributes_.add(attributes_in(batch, span.attributes)));
    kinds_.push_back(static_cast<char>(static_cast<unsigned>(span.kind) << 2 |
                                       static_cast<unsigned>(span.status)));
    messages_.add_text(span.status_message);
    scopes_.add_text(span.scope_name);
    trace_texts_.add_text(span.trace_text);
    event_counts_.push_back(span.events_end - span.events_begin);
    for (uint32_t i = span.events_begin; i < span.events_end; ++i) {
      const telemetry::SpanEventView& event = batch.events[i];
      event_times_.push_back(event.time_unix_nanos - span.start_unix_nanos);
      event_names_.add_text(event.name);
      event_attributes_.add(attributes_in(batch, event.attributes));
    }
    link_counts_.push_back(span.links_end - span.links_begin);
    for (uint32_t i = span.links_begin; i < span.links_end; ++i) {
      links_.raw(bytes_of(batch.links[i].trace_id));
      links_.raw(bytes_of(batch.links[i].span_id));
    }
  }

  /// Spans whose attributes stand in one place have one sender and one name, too, but for a few:
  /// then neither is looked for again.
  void add_sender_and_name(const telemetry::TraceBatch& batch, const SpanView& span,
                           uint32_t attributes) {
    if (attributes >= known_.size()) known_.resize(attributes + 1);
    Known& known = known_[attributes];
    if (known.batch == &batch && known.resource == span.resource &&
        known.name.data() == span.name.data() && known.name.size() == span.name.size()) {
      names_.add_code(known.name_code);
      senders_.push_back(known.sender);
      return;
    }
    names_.add_text(span.name);
    senders_.push_back(resources_.add(batch, span.resource));
    known = {&batch, span.name, span.resource, names_.codes().back(), senders_.back()};
  }

  void write_events(ColumnWriter& section) const {
    section.varint(event_times_.size());
    if (event_times_.empty()) return;
    write_numbers(section, event_counts_, packing_);
    write_numbers(section, event_times_, packing_);
    event_names_.write(section, {}, packing_);
    event_attributes_.write(section, {}, packing_);
  }

  const std::vector<SpanSource>& spans_;
  const Packing packing_;
  DictionaryWriter dictionary_;  // of the resources
  ResourceColumns resources_;
  std::vector<uint32_t> senders_;
  struct Known {
    const telemetry::TraceBatch* batch = nullptr;
    std::string_view name;
    uint32_t resource = 0, name_code = 0, sender = 0;
  };
  std::vector<Known> known_;  // by number of their attributes
  ValueColumnWriter names_{Kind::text}, messages_{Kind::text}, scopes_{Kind::text},
      trace_texts_{Kind::text}, event_names_{Kind::text};
  AttributeTableWriter attributes_, event_attributes_;
  std::string kinds_;
  std::vector<uint64_t> event_counts_, event_times_, link_counts_;
  ColumnWriter links_;
};

/// What spans are sorted by, side by side: comparing through the pointers would miss the cache each
/// time.
struct TraceOrder {
  uint64_t high, low, start;
  SpanSource source;
  bool operator<(const TraceOrder& other) const {
    if (high != other.high) return high < other.high;
    return low == other.low ? start < other.start : low < other.low;
  }
};

/// Deals them out by the first bits that tell them apart, then sorts each of the small piles: ids
/// are mostly random, and a third of comparing random numbers is wrong guesses of the processor.
void sort_keys(std::vector<TraceOrder>& keys) {
  const auto [least, most] = std::minmax_element(
      keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.high < b.high; });
  const auto bits = std::min(static_cast<unsigned>(std::bit_width(keys.size())), 16U);
  const auto differ = static_cast<unsigned>(std::bit_width(least->high ^ most->high));
  const unsigned shift = differ > bits ? differ - bits : 0;
  const auto pile_of = [&](const TraceOrder& key) {
    return (key.high >> shift) & ((size_t{1} << bits) - 1);
  };
  std::vector<uint32_t> ends(size_t{1} << bits);
  for (const TraceOrder& key : keys) ++ends[pile_of(key)];
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<TraceOrder> dealt(keys.size());
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) dealt[--ends[pile_of(*key)]] = *key;
  // Each end is a begin now.
  for (size_t pile = 0; pile < ends.size(); ++pile) {
    const size_t end = pile + 1 < ends.size() ? ends[pile + 1] : dealt.size();
    if (end - ends[pile] < 2) continue;
    std::sort(dealt.begin() + ends[pile], dealt.begin() + static_cast<std::ptrdiff_t>(end));
  }
  keys.swap(dealt);
}

}  // namespace

void sort_by_trace(std::vector<SpanSource>& spans) {
  std::vector<TraceOrder> keys;
  keys.reserve(spans.size());
  for (const SpanSource& source : spans) {
    const uint8_t* const id = source.span->trace_id.bytes.data();
    keys.push_back(
        {ordered_bytes(id), ordered_bytes(id + 8), source.span->start_unix_nanos, source});
  }
  if (std::is_sorted(keys.begin(), keys.end())) return;
  sort_keys(keys);
  for (size_t i = 0; i < keys.size(); ++i) spans[i] = keys[i].source;
}

std::string encode_span_chunk(std::vector<SpanSource>& spans) {
  sort_by_trace(spans);
  ColumnWriter fields, ids, columns;
  FieldsWriter(spans, Packing::none).write(fields);
  IdsWriter(spans, Packing::none).write(ids);
  columns.text(fields.bytes());
  columns.raw(ids.bytes());
  std::string stored{static_cast<char>(kSpanChunkVersion), static_cast<char>(kPartsTogether)};
  pack_whole(columns.bytes(), stored);
  return stored;
}

FullSpanChunk encode_full_span_chunk(const std::vector<SpanSource>& spans) {
  ColumnWriter fields, ids;
  fields.u8(kSpanChunkVersion);
  fields.u8(kPartsApart);
  const FieldsWriter writer(spans, Packing::each_block);
  writer.write(fields);
  ids.u8(kSpanChunkVersion);
  IdsWriter(spans, Packing::each_block).write(ids);
  return {fields.bytes(), ids.bytes(), writer.filter(), writer.summaries()};
}

}  // namespace hms::collector
