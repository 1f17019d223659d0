#include "collector/store/span_edge_rows.h"

#include <algorithm>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"

namespace hms::collector {
namespace {

constexpr uint64_t kSecondNanos = 1'000'000'000ULL;

/// How much of [from, to) is within [start, end), 0 to 1.
double part_within(uint64_t from, uint64_t to, uint64_t start, uint64_t end) {
  const uint64_t begin = std::max(from, start), stop = std::min(to, end);
  return stop <= begin ? 0 : static_cast<double>(stop - begin) / static_cast<double>(to - from);
}

}  // namespace

bool EdgeTotals::by_second() const {
  return std::any_of(requests_of.begin(), requests_of.end(),
                     [](uint32_t count) { return count > 0; });
}

std::string edge_key(uint32_t slot, const EdgeNames& names) {
  std::string key = table_key(Table::service_edge);
  append_be32(key, slot);
  key.append(names.first).push_back('\0');
  key.append(names.second);
  return key;
}

std::string encode_edge(const EdgeTotals& totals) {
  ColumnWriter out;
  out.varint(totals.requests);
  out.varint(totals.errors);
  out.real(totals.duration.sum);
  out.varint(totals.duration.zero_count);
  out.varint(totals.duration.positive.size());
  int64_t last = 0;
  for (const auto& bucket : totals.duration.positive) {
    out.zigzag(bucket.index - last);
    out.varint(bucket.count);
    last = bucket.index;
  }
  for (const uint32_t count : totals.requests_of) out.varint(count);
  for (const uint32_t count : totals.errors_of) out.varint(count);
  return out.bytes();
}

bool decode_edge(std::string_view value, EdgeTotals& totals) {
  ColumnReader in(value);
  totals.requests = in.varint();
  totals.errors = in.varint();
  totals.duration.sum = in.real();
  totals.duration.zero_count = totals.duration.count = in.varint();
  int64_t last = 0;
  for (size_t n = in.count(2); n > 0 && !in.failed(); --n) {
    last += in.zigzag();
    const uint64_t count = in.varint();
    if (last < INT32_MIN || last > INT32_MAX) return false;
    totals.duration.positive.push_back({static_cast<int32_t>(last), count});
    totals.duration.count += count;
  }
  if (in.rest().empty()) return !in.failed();  // written before seconds were kept
  for (uint32_t& count : totals.requests_of) count = static_cast<uint32_t>(in.varint());
  for (uint32_t& count : totals.errors_of) count = static_cast<uint32_t>(in.varint());
  return !in.failed();
}

std::optional<EdgeRow> parse_edge_row(std::string_view key, std::string_view value) {
  const size_t from_end = key.find('\0', 5);
  EdgeRow row;
  if (from_end == key.npos || !decode_edge(value, row.totals)) return std::nullopt;
  row.slot = read_be32(key.substr(1));
  row.names = {std::string(key.substr(5, from_end - 5)), std::string(key.substr(from_end + 1))};
  return row;
}

net::Result<void> each_edge_row(const KvReader& reader, Family day, uint32_t first, uint32_t last,
                                const std::function<void(EdgeRow)>& visit) {
  std::string begin = table_key(Table::service_edge), end = begin;
  append_be32(begin, first);
  append_be32(end, last + 1);
  return reader.scan(day, begin, end, [&visit](std::string_view key, std::string_view value) {
    if (auto row = parse_edge_row(key, value)) visit(std::move(*row));
    return true;
  });
}

void EdgeSum::add(uint32_t slot, const EdgeNames& names, const EdgeTotals& totals) {
  const uint64_t begin = slot * kSlotNanos;
  double requests = 0, errors = 0;
  const bool whole = begin >= start_ && begin + kSlotNanos <= end_;
  if (whole || !totals.by_second()) {
    const double part = part_within(begin, begin + kSlotNanos, start_, end_);
    requests = static_cast<double>(totals.requests) * part;
    errors = static_cast<double>(totals.errors) * part;
  } else {
    for (size_t i = 0; i < kSecondsPerSlot; ++i) {
      const uint64_t second = begin + i * kSecondNanos;
      const double part = part_within(second, second + kSecondNanos, start_, end_);
      requests += totals.requests_of[i] * part;
      errors += totals.errors_of[i] * part;
    }
  }
  if (requests != 0) add_whole(names, requests, errors, totals.duration);
}

void EdgeSum::add_whole(const EdgeNames& names, double requests, double errors,
                        const telemetry::Histogram& duration) {
  ServiceEdge& edge = sum_[names];
  edge.requests += requests;
  edge.errors += errors;
  edge.duration.merge(duration);
}

std::vector<ServiceEdge> EdgeSum::take() {
  std::vector<ServiceEdge> edges;
  edges.reserve(sum_.size());
  for (auto& [names, edge] : sum_) {
    edge.from = names.first;
    edge.to = names.second;
    edges.push_back(std::move(edge));
  }
  return edges;
}

}  // namespace hms::collector
