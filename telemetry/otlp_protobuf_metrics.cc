// otlp_protobuf_metrics.cc: metrics and their data points from protobuf.
#include <algorithm>

#include "telemetry/otlp_protobuf.h"

namespace hms::telemetry::otlp {
namespace {

/// Scratch shared by all points of a body, so that decoding a point allocates only what stays.
struct Scratch {
  RawExponential exponential;
  RawExplicit explicit_bounds;
  RawSummary summary;
  KnownAttributes* known = nullptr;
};

/// Where the attributes of a point stand in the body: one run of bytes, if they follow each other.
class AttributeRun {
 public:
  void add(const char* begin, const char* end) noexcept {
    scattered_ = scattered_ || (begin_ != nullptr && begin != end_);
    if (begin_ == nullptr) begin_ = begin;
    end_ = end;
  }
  [[nodiscard]] bool scattered() const noexcept { return scattered_; }
  [[nodiscard]] std::string_view bytes() const noexcept {
    return {begin_, static_cast<size_t>(end_ - begin_)};
  }

 private:
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
  bool scattered_ = false;
};

double signed_fixed_as_double(pbf_reader& reader) {
  return static_cast<double>(reader.get_sfixed64());
}

template <class Range, class T>
void append_all(Range range, std::vector<T>& out) {
  for (auto value : range) {
    if (out.size() > kMaxBucketSlots) return;  // one more than allowed: refused further on
    out.push_back(value);
  }
}

void read_exemplar(MetricBatch& batch, PointHead& point, std::string_view bytes) {
  ExemplarView exemplar;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(2):
        exemplar.time_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(3):
        exemplar.value = reader.get_double();
        break;
      case fixed64_field(6):
        exemplar.value = signed_fixed_as_double(reader);
        break;
      case message_field(4):
        if (!take_id(view_of(reader), exemplar.span_id)) exemplar.span_id = {};
        break;
      case message_field(5):
        if (!take_id(view_of(reader), exemplar.trace_id)) exemplar.trace_id = {};
        break;
      default:
        reader.skip();
    }
  }
  add_exemplar(batch, point, exemplar);
}

/// The fields that all kinds of points have; attributes and flags have another number in each.
/// `at`: where the field begins.
template <uint32_t AttributesField, uint32_t FlagsField>
bool read_point_field(PointHead& point, AttributeRun& run, const char* at, pbf_reader& reader) {
  switch (reader.tag_and_type()) {
    case fixed64_field(2):
      point.start_unix_nanos = reader.get_fixed64();
      return true;
    case fixed64_field(3):
      point.time_unix_nanos = reader.get_fixed64();
      return true;
    case message_field(AttributesField):
      reader.skip();
      run.add(at, reader.data().data());
      return true;
    case varint_field(FlagsField):
      point.flags = reader.get_uint32();
      return true;
    default:
      return false;
  }
}

template <uint32_t AttributesField>
void read_attributes(BatchStorage& batch, uint32_t begin, std::string_view bytes) {
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    if (reader.tag_and_type() == message_field(AttributesField)) {
      read_attribute(batch, begin, view_of(reader));
    } else {
      reader.skip();
    }
  }
}

/// Reads the attributes of a point, or leaves them as they stand if `known` has them.
template <uint32_t AttributesField>
void finish_attributes(MetricBatch& batch, PointHead& point, const AttributeRun& run,
                       std::string_view point_bytes, KnownAttributes* known) {
  if (run.scattered()) {
    read_attributes<AttributesField>(batch, point.attributes.begin, point_bytes);
  } else {
    point.attributes_hash = hash_attributes(run.bytes());
    if (known != nullptr && known->contains(point.attributes_hash)) {
      point.raw_attributes = run.bytes();
    } else {
      const uint64_t truncated = batch.truncated;
      read_attributes<AttributesField>(batch, point.attributes.begin, run.bytes());
      // What was cut is counted each time it comes.
      if (known != nullptr && batch.truncated == truncated) known->insert(point.attributes_hash);
    }
  }
  point.attributes.end = attribute_mark(batch);
}

/// Count, sum and extremes of a histogram; the extremes have another number in each kind.
template <uint32_t MinField, class Raw>
bool read_summed_field(Raw& raw, pbf_reader& reader) {
  switch (reader.tag_and_type()) {
    case fixed64_field(4):
      raw.count = reader.get_fixed64();
      return true;
    case fixed64_field(5):
      raw.sum = reader.get_double();
      return true;
    case fixed64_field(MinField):
      raw.min = reader.get_double(), raw.has_min = true;
      return true;
    case fixed64_field(MinField + 1):
      raw.max = reader.get_double(), raw.has_max = true;
      return true;
    default:
      return false;
  }
}

std::string_view read_number(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                             bool is_sum, int64_t temporality, bool monotonic,
                             KnownAttributes* known) {
  PointHead point = begin_point(batch);
  AttributeRun run;
  double value = 0;
  bool has_value = false;
  pbf_reader reader = reader_of(bytes);
  for (const char* at = bytes.data(); reader.next(); at = reader.data().data()) {
    if (read_point_field<7, 8>(point, run, at, reader)) continue;
    switch (reader.tag_and_type()) {
      case fixed64_field(4):
        value = reader.get_double(), has_value = true;
        break;
      case fixed64_field(6):
        value = signed_fixed_as_double(reader), has_value = true;
        break;
      case message_field(5):
        read_exemplar(batch, point, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  finish_attributes<7>(batch, point, run, bytes, known);
  if (!has_value && (point.flags & 1) == 0) return "the data point has no value";
  return is_sum ? add_sum(batch, metric, point, value, temporality, monotonic)
                : add_gauge(batch, metric, point, value);
}

void read_buckets(RawBuckets& buckets, std::string_view bytes) {
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case varint_field(1):
        buckets.offset = reader.get_sint32();
        break;
      case message_field(2):
        append_all(reader.get_packed_uint64(), buckets.counts);
        break;
      case varint_field(2):
        if (const auto count = reader.get_uint64(); buckets.counts.size() <= kMaxBucketSlots)
          buckets.counts.push_back(count);
        break;
      default:
        reader.skip();
    }
  }
}

std::string_view read_exponential(MetricBatch& batch, const MetricHead& metric,
                                  std::string_view bytes, int64_t temporality,
                                  RawExponential& raw) {
  raw.clear();
  PointHead point = begin_point(batch);
  AttributeRun run;
  pbf_reader reader = reader_of(bytes);
  for (const char* at = bytes.data(); reader.next(); at = reader.data().data()) {
    if (read_point_field<1, 10>(point, run, at, reader)) continue;
    if (read_summed_field<12>(raw, reader)) continue;
    switch (reader.tag_and_type()) {
      case varint_field(6):
        raw.scale = reader.get_sint32();
        break;
      case fixed64_field(7):
        raw.zero_count = reader.get_fixed64();
        break;
      case message_field(8):
        read_buckets(raw.positive, view_of(reader));
        break;
      case message_field(9):
        read_buckets(raw.negative, view_of(reader));
        break;
      case message_field(11):
        read_exemplar(batch, point, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  finish_attributes<1>(batch, point, run, bytes, nullptr);
  return add_exponential(batch, metric, point, raw, temporality);
}

std::string_view read_explicit(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                               int64_t temporality, RawExplicit& raw) {
  raw.clear();
  PointHead point = begin_point(batch);
  AttributeRun run;
  pbf_reader reader = reader_of(bytes);
  for (const char* at = bytes.data(); reader.next(); at = reader.data().data()) {
    if (read_point_field<9, 10>(point, run, at, reader)) continue;
    if (read_summed_field<11>(raw, reader)) continue;
    switch (reader.tag_and_type()) {
      case message_field(6):
        append_all(reader.get_packed_fixed64(), raw.counts);
        break;
      case fixed64_field(6):
        if (const auto count = reader.get_fixed64(); raw.counts.size() <= kMaxBucketSlots)
          raw.counts.push_back(count);
        break;
      case message_field(7):
        append_all(reader.get_packed_double(), raw.bounds);
        break;
      case fixed64_field(7):
        if (const auto bound = reader.get_double(); raw.bounds.size() <= kMaxBucketSlots)
          raw.bounds.push_back(bound);
        break;
      case message_field(8):
        read_exemplar(batch, point, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  finish_attributes<9>(batch, point, run, bytes, nullptr);
  return add_explicit(batch, metric, point, raw, temporality);
}

std::string_view read_summary(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                              RawSummary& raw) {
  raw.clear();
  PointHead point = begin_point(batch);
  AttributeRun run;
  pbf_reader reader = reader_of(bytes);
  for (const char* at = bytes.data(); reader.next(); at = reader.data().data()) {
    if (read_point_field<7, 8>(point, run, at, reader)) continue;
    switch (reader.tag_and_type()) {
      case fixed64_field(4):
        raw.count = reader.get_fixed64();
        break;
      case fixed64_field(5):
        raw.sum = reader.get_double();
        break;
      case message_field(6): {
        double quantile = 0, value = 0;
        for (pbf_reader pair = reader_of(view_of(reader)); pair.next();) {
          switch (pair.tag_and_type()) {
            case fixed64_field(1):
              quantile = pair.get_double();
              break;
            case fixed64_field(2):
              value = pair.get_double();
              break;
            default:
              pair.skip();
          }
        }
        if (raw.quantiles.size() <= kMaxQuantiles) raw.quantiles.emplace_back(quantile, value);
        break;
      }
      default:
        reader.skip();
    }
  }
  finish_attributes<7>(batch, point, run, bytes, nullptr);
  return add_summary(batch, metric, point, raw);
}

enum class DataKind : uint32_t {
  gauge = 5,
  sum = 7,
  histogram = 9,
  exponential = 10,
  summary = 11
};

/// One of the five data messages: points are field 1, temporality 2, is_monotonic 3, whichever of
/// them it has.
void read_data(MetricBatch& batch, Tally& tally, const MetricHead& metric, DataKind kind,
               std::string_view bytes, Scratch& scratch) {
  int64_t temporality = 0;
  bool monotonic = false;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case varint_field(2):
        temporality = reader.get_int32();
        break;
      case varint_field(3):
        monotonic = reader.get_bool();
        break;
      default:
        reader.skip();
    }
  }
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    tally.next();
    const auto point = view_of(reader);
    const auto mark = attribute_mark(batch);
    const size_t points = batch.points.size(), exemplars = batch.exemplars.size();
    std::string_view reason;
    switch (kind) {
      case DataKind::gauge:
        reason = read_number(batch, metric, point, false, 0, false, scratch.known);
        break;
      case DataKind::sum:
        reason = read_number(batch, metric, point, true, temporality, monotonic, scratch.known);
        break;
      case DataKind::histogram:
        reason = read_explicit(batch, metric, point, temporality, scratch.explicit_bounds);
        break;
      case DataKind::exponential:
        reason = read_exponential(batch, metric, point, temporality, scratch.exponential);
        break;
      case DataKind::summary:
        reason = read_summary(batch, metric, point, scratch.summary);
        break;
    }
    if (reason.empty()) continue;
    tally.reject(reason);
    batch.attributes.resize(mark);
    batch.points.resize(points);
    batch.exemplars.resize(exemplars);
  }
}

void read_metric(MetricBatch& batch, Tally& tally, uint32_t resource, std::string_view bytes,
                 Scratch& scratch) {
  MetricHead metric;
  metric.resource = resource;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        metric.name = clean_text(batch, view_of(reader));
        break;
      case message_field(2):
        metric.description = clean_text(batch, view_of(reader));
        break;
      case message_field(3):
        metric.unit = clean_text(batch, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(5):
      case message_field(7):
      case message_field(9):
      case message_field(10):
      case message_field(11): {
        const auto kind = static_cast<DataKind>(reader.tag());
        read_data(batch, tally, metric, kind, view_of(reader), scratch);
        break;
      }
      default:
        reader.skip();
    }
  }
}

}  // namespace

net::Result<void> read_protobuf(MetricBatch& batch, Tally& tally, KnownAttributes* known) {
  Scratch scratch;
  scratch.known = known;
  // Growing by doubling moves everything several times; few senders write attributes and points of
  // fewer bytes than these.
  batch.attributes.reserve(std::min(batch.body->size() / 24, kMaxAttributes));
  batch.points.reserve(std::min(batch.body->size() / 80, kMaxRecords));
  return guarded(batch, [&](uint32_t resource, std::string_view, std::string_view bytes) {
    read_metric(batch, tally, resource, bytes, scratch);
  });
}

}  // namespace hms::telemetry::otlp

namespace hms::telemetry {

AttributeRange read_raw_attributes(BatchStorage& into, std::string_view raw) {
  const uint32_t begin = otlp::attribute_mark(into);
  try {
    otlp::read_attributes<7>(into, begin, raw);
  } catch (const std::exception&) {  // these bytes were read before: only a full `into`
  }
  return {begin, otlp::attribute_mark(into)};
}

}  // namespace hms::telemetry
