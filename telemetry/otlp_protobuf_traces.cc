// otlp_protobuf_traces.cc: spans, their events and links, from protobuf.
#include "telemetry/otlp_protobuf.h"
#include "telemetry/repeated_bytes.h"

namespace hms::telemetry::otlp {
namespace {

constexpr char kAttributeTag = 9 << 3 | 2;  // of a span's attribute, as everybody writes it

// A sidecar's take 300 to 400: most bodies need their room made once, and none gets more of it than
// two thirds of its own size.
constexpr size_t kBytesOfASpan = 256;

using AttributeRuns = RepeatedBytes<AttributeRange>;

struct Repeated {
  AttributeRuns attributes;
  RepeatedBytes<std::string_view> names;
};

/// The attributes of a span that follow each other, tags included; `reader` has just met the first
/// one. Empty: its tag was written in more bytes than it needs.
std::string_view attribute_run(pbf_reader& reader) {
  const char* const begin = reader.data().data() - 1;
  if (*begin != kAttributeTag) return {};
  reader.skip();
  while (reader.length() > 0 && *reader.data().data() == kAttributeTag && reader.next())
    reader.skip();
  return {begin, static_cast<size_t>(reader.data().data() - begin)};
}

/// The attributes of one span: a range of the batch, its own or one that an earlier span has.
class SpanAttributes {
 public:
  SpanAttributes(TraceBatch& batch, AttributeRuns& runs)
      : batch_(batch), runs_(runs), mark_(attribute_mark(batch)), range_{mark_, mark_} {}

  /// `reader` has just met an attribute: takes it and those right behind it.
  void take(pbf_reader& reader) {
    const std::string_view run = attribute_run(reader);
    if (run.empty()) {
      own();
      read_attribute(batch_, range_.begin, view_of(reader));
    } else if (range_.begin == range_.end) {
      AttributeRuns::Place& place = runs_.place_of(run);
      if (runs_.holds(place, run)) {
        range_ = place.value;
        return;
      }
      read(run);
      runs_.keep(place, run, {range_.begin, attribute_mark(batch_)});
      kept_ = &place;
    } else {  // not all of them stand together
      own();
      read(run);
    }
    range_.end = attribute_mark(batch_);
  }
  [[nodiscard]] AttributeRange range() const noexcept { return range_; }
  /// For a span that is left out.
  void take_back() {
    batch_.attributes.resize(mark_);
    if (kept_ != nullptr) kept_->body = 0;
  }

 private:
  void read(std::string_view run) {
    for (pbf_reader reader = reader_of(run); reader.next();)
      read_attribute(batch_, range_.begin, view_of(reader));
  }
  /// So that more can follow.
  void own() {
    const AttributeRange shared = range_;
    if (shared.end == attribute_mark(batch_)) return;
    range_.begin = attribute_mark(batch_);
    for (uint32_t i = shared.begin; i < shared.end; ++i)
      add_attribute(batch_, range_.begin, Attribute(batch_.attributes[i]));
  }

  TraceBatch& batch_;
  AttributeRuns& runs_;
  const uint32_t mark_;
  AttributeRange range_;
  AttributeRuns::Place* kept_ = nullptr;
};

void read_event(TraceBatch& batch, std::string_view bytes) {
  SpanEventView event;
  event.attributes.begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(1):
        event.time_unix_nanos = reader.get_fixed64();
        break;
      case message_field(2):
        event.name = clean_text(batch, view_of(reader));
        break;
      case message_field(3):
        read_attribute(batch, event.attributes.begin, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  event.attributes.end = attribute_mark(batch);
  batch.events.push_back(event);
}

void read_link(TraceBatch& batch, std::string_view bytes) {
  SpanLinkView link;
  bool good = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        good = take_id(view_of(reader), link.trace_id) && good;
        break;
      case message_field(2):
        good = take_id(view_of(reader), link.span_id) && good;
        break;
      default:
        reader.skip();
    }
  }
  if (good && !link.trace_id.is_zero() && !link.span_id.is_zero()) batch.links.push_back(link);
}

void read_status(TraceBatch& batch, SpanView& span, std::string_view bytes) {
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(2):
        span.status_message = clean_text(batch, view_of(reader));
        break;
      case varint_field(3):
        span.status = span_status(reader.get_int32());
        break;
      default:
        reader.skip();
    }
  }
}

std::string_view read_name(TraceBatch& batch, Repeated& repeated, std::string_view bytes) {
  auto& place = repeated.names.place_of(bytes);
  if (!repeated.names.holds(place, bytes))
    repeated.names.keep(place, bytes, clean_text(batch, bytes));
  return place.value;
}

void read_span(TraceBatch& batch, Repeated& repeated, Tally& tally, uint32_t resource,
               std::string_view scope, std::string_view bytes) {
  tally.next();
  SpanView span;
  IdFaults faults;
  span.resource = resource;
  span.scope_name = scope;
  SpanAttributes attributes(batch, repeated.attributes);
  const size_t events = batch.events.size(), links = batch.links.size();
  bool nested = false;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        faults.trace = !take_id(view_of(reader), span.trace_id);
        break;
      case message_field(2):
        faults.span = !take_id(view_of(reader), span.span_id);
        break;
      case message_field(4): {
        const auto parent = view_of(reader);
        faults.parent = !parent.empty() && !take_id(parent, span.parent_span_id);
        break;
      }
      case message_field(5):
        span.name = read_name(batch, repeated, view_of(reader));
        break;
      case varint_field(6):
        span.kind = span_kind(reader.get_int32());
        break;
      case fixed64_field(7):
        span.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(8):
        span.end_unix_nanos = reader.get_fixed64();
        break;
      case message_field(9):
        attributes.take(reader);
        break;
      case message_field(15):
        read_status(batch, span, view_of(reader));
        break;
      case message_field(11):
      case message_field(13):
        nested = true;
        reader.skip();
        break;
      default:
        reader.skip();
    }
  }
  span.attributes = attributes.range();
  if (nested) {  // second pass: a record's own attributes must lie together
    for (pbf_reader reader = reader_of(bytes); reader.next();) {
      const bool is_event = reader.tag_and_type() == message_field(11),
                 is_link = reader.tag_and_type() == message_field(13);
      if (!is_event && !is_link) {
        reader.skip();
        continue;
      }
      const auto view = view_of(reader);
      if ((is_event ? batch.events.size() - events : batch.links.size() - links) >=
          kMaxEventsPerSpan) {
        ++batch.truncated;
        continue;
      }
      if (batch.events.size() + batch.links.size() >= kMaxEventsAndLinks) {
        throw LimitCrossed(
            "more than 1000000 span events and links in one body; send smaller batches");
      }
      if (is_event) {
        read_event(batch, view);
      } else {
        read_link(batch, view);
      }
    }
  }
  span.events_begin = static_cast<uint32_t>(events),
  span.events_end = static_cast<uint32_t>(batch.events.size());
  span.links_begin = static_cast<uint32_t>(links),
  span.links_end = static_cast<uint32_t>(batch.links.size());
  if (const auto reason = add_span(batch, span, faults); !reason.empty()) {
    tally.reject(reason);
    attributes.take_back();
    batch.events.resize(events);
    batch.links.resize(links);
  }
}

}  // namespace

net::Result<void> read_protobuf(TraceBatch& batch, Tally& tally) {
  thread_local Repeated repeated;
  repeated.attributes.begin_body();
  repeated.names.begin_body();
  batch.spans.reserve(batch.body->size() / kBytesOfASpan);
  return guarded(batch, [&](uint32_t resource, std::string_view scope, std::string_view bytes) {
    read_span(batch, repeated, tally, resource, scope, bytes);
  });
}

}  // namespace hms::telemetry::otlp
