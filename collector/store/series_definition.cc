// series_definition.cc: see series_definition.h.
#include "collector/store/series_definition.h"

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;

std::string numbered_key(Table table, uint32_t first, const uint32_t* second) {
  std::string key = table_key(table);
  append_be32(key, first);
  if (second != nullptr) append_be32(key, *second);
  return key;
}

}  // namespace

std::string write_definition(const SeriesDefinition& definition) {
  ColumnWriter out;
  out.u8(kVersion);
  out.varint(definition.labels.size());
  for (const auto& [name, value] : definition.labels) {
    out.text(name);
    out.text(value);
  }
  out.text(definition.metric.type);
  out.text(definition.metric.unit);
  out.text(definition.metric.help);
  return out.bytes();
}

net::Result<SeriesDefinition> read_definition(std::string_view stored) {
  ColumnReader in(stored);
  if (const uint8_t version = in.u8(); version != kVersion) {
    return net::Error{net::Code::unsupported, net::Side::self, false,
                      "series definition has version " + std::to_string(version) +
                          ", this program reads version 1"};
  }
  SeriesDefinition out;
  const size_t count = in.count(2);
  for (size_t i = 0; i < count; ++i) {
    std::string name(in.text());
    std::string value(in.text());
    if (name == "__name__") out.metric.name = value;
    out.labels.emplace_back(std::move(name), std::move(value));
  }
  out.metric.type = std::string(in.text());
  out.metric.unit = std::string(in.text());
  out.metric.help = std::string(in.text());
  if (in.failed())
    return net::Error{net::Code::corrupt, net::Side::self, false, "series definition is broken"};
  return out;
}

std::string series_definition_key(uint32_t series) {
  return numbered_key(Table::series_definition, series, nullptr);
}
std::string series_chunk_key(uint32_t series, uint32_t epoch) {
  return numbered_key(Table::series_chunk, series, &epoch);
}
std::string series_log_key(uint32_t epoch, uint32_t sequence) {
  return numbered_key(Table::series_log, epoch, &sequence);
}

}  // namespace hms::collector
