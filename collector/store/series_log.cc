// series_log.cc: see series_log.h.
#include "collector/store/series_log.h"

#include <array>
#include <utility>

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;
enum Kind : uint8_t { whole = 1, real = 2, histogram = 3, histogram_change = 4 };

}  // namespace

void SeriesLogWriter::head(uint32_t series, int64_t t_millis, uint8_t kind) {
  if (count_++ == 0) base_millis_ = t_millis;
  out_.varint(series);
  out_.zigzag(t_millis - base_millis_);
  out_.u8(kind);
}

// The same bytes by head() and ColumnWriter, put together first and appended at once: this is done
// for every number that comes in.
void SeriesLogWriter::add(uint32_t series, int64_t t_millis, double value) {
  if (!is_whole(value)) {
    head(series, t_millis, Kind::real);
    out_.real(value);
    return;
  }
  if (count_++ == 0) base_millis_ = t_millis;
  std::array<char, 32> record;  // 5 + 10 + 1 + 10 at most
  char* end = record.data();
  const auto varint = [&end](uint64_t number) {
    for (; number >= 0x80; number >>= 7) *end++ = static_cast<char>((number & 0x7F) | 0x80);
    *end++ = static_cast<char>(number);
  };
  const auto zigzag = [&varint](int64_t number) {
    varint((static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63));
  };
  varint(series);
  zigzag(t_millis - base_millis_);
  *end++ = static_cast<char>(Kind::whole);
  zigzag(static_cast<int64_t>(value));
  out_.raw({record.data(), static_cast<size_t>(end - record.data())});
}

void SeriesLogWriter::add(uint32_t series, int64_t t_millis, const telemetry::Histogram& value,
                          const telemetry::Histogram* before) {
  if (before != nullptr && before->scale == value.scale) {
    head(series, t_millis, Kind::histogram_change);
    write_histogram_change(out_, value, *before);
  } else {
    head(series, t_millis, Kind::histogram);
    out_.zigzag(value.scale);
    telemetry::Histogram none;
    none.scale = value.scale;
    write_histogram_change(out_, value, none);
  }
}

std::string SeriesLogWriter::finish() {
  ColumnWriter whole_entry;
  whole_entry.varint(count_);
  whole_entry.zigzag(base_millis_);
  whole_entry.raw(out_.bytes());
  std::string stored = seal_chunk(kVersion, whole_entry.bytes());
  *this = SeriesLogWriter();
  return stored;
}

net::Result<void> read_series_log(std::string_view stored, const SeriesLogReader& reader) {
  auto opened = open_chunk(kVersion, stored);
  if (!opened) return opened.error();
  const auto corrupt = [] {
    return net::Error{net::Code::corrupt, net::Side::self, false, "series log entry is broken"};
  };
  ColumnReader in(*opened);
  const size_t count = in.count(4);
  const int64_t base = in.zigzag();
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    const uint64_t series = in.varint();
    SeriesPoint point;
    point.t_millis =
        static_cast<int64_t>(static_cast<uint64_t>(base) + static_cast<uint64_t>(in.zigzag()));
    const uint8_t kind = in.u8();
    if (in.failed() || series > UINT32_MAX) return corrupt();
    const auto id = static_cast<uint32_t>(series);
    switch (kind) {
      case Kind::whole:
        point.value = static_cast<double>(in.zigzag());
        break;
      case Kind::real:
        point.value = in.real();
        break;
      case Kind::histogram:
      case Kind::histogram_change: {
        telemetry::Histogram value;
        if (kind == Kind::histogram) {
          const int64_t scale = in.zigzag();
          if (scale < -10 || scale > 20) return corrupt();
          value.scale = static_cast<int32_t>(scale);
        } else {
          const HistogramPtr before = reader.before(id);
          if (before == nullptr) return corrupt();
          value = *before;
        }
        if (!read_histogram_change(in, value)) return corrupt();
        point.histogram = std::make_shared<const telemetry::Histogram>(std::move(value));
        break;
      }
      default:
        return corrupt();
    }
    if (in.failed()) return corrupt();
    reader.point(id, std::move(point));
  }
  if (in.failed()) return corrupt();
  return {};
}

}  // namespace hms::collector
