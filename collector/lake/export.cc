#include "collector/lake/export.h"

#include <cstdio>

#include "collector/lake/verify.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using net::Result;

std::string time_text(int64_t value, bool nanos) {
  const int64_t per_second = nanos ? 1'000'000'000 : 1'000;
  int64_t seconds = value / per_second;
  int64_t part = value % per_second;
  if (part < 0) {
    part += per_second;
    --seconds;
  }
  if (seconds < 0) return std::to_string(value);
  const int64_t of_day = seconds % 86'400;
  char text[40];
  std::snprintf(text, sizeof text, nanos ? "T%02d:%02d:%02d.%09dZ" : "T%02d:%02d:%02d.%03dZ",
                static_cast<int>(of_day / 3'600), static_cast<int>(of_day / 60 % 60),
                static_cast<int>(of_day % 60), static_cast<int>(part));
  return day_text(static_cast<uint32_t>(seconds / 86'400)) + text;
}

void append_csv(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

class LineWriter {
 public:
  LineWriter(const TableSpec& spec, ExportFormat format) : spec_(spec), format_(format) {}

  std::string heading() const {
    std::string out;
    if (format_ == ExportFormat::ndjson) return out;
    for (const ColumnSpec& column : spec_.columns) {
      if (!out.empty()) out += ',';
      out += column.name;
    }
    return out + "\r\n";
  }

  std::string line(const std::vector<ColumnValues>& columns, size_t index) const {
    std::string out;
    for (size_t i = 0; i < spec_.columns.size(); ++i) {
      const bool json = format_ == ExportFormat::ndjson;
      out += i > 0 ? "," : json ? "{" : "";
      if (json) out += '"' + spec_.columns[i].name + "\":";
      append(out, spec_.columns[i].type, columns[i], index);
    }
    return out + (format_ == ExportFormat::ndjson ? "}\n" : "\r\n");
  }

 private:
  void append(std::string& out, ColumnType type, const ColumnValues& values, size_t index) const {
    switch (type) {
      case ColumnType::text:
        return quoted(out, values.texts[index]);
      case ColumnType::json:
        if (format_ == ExportFormat::csv) return append_csv(out, values.texts[index]);
        out += values.texts[index].empty() ? std::string_view("null") : values.texts[index];
        return;
      case ColumnType::int32:
      case ColumnType::int64:
        out += std::to_string(values.integers[index]);
        return;
      case ColumnType::timestamp_nanos:
      case ColumnType::timestamp_millis:
        return quoted(out, time_text(values.integers[index], type == ColumnType::timestamp_nanos));
      case ColumnType::real:
        telemetry::append_json_number(out, values.reals[index]);
        return;
    }
  }
  void quoted(std::string& out, std::string_view text) const {
    if (format_ == ExportFormat::csv)
      append_csv(out, text);
    else
      telemetry::append_json_text(out, text);
  }
  const TableSpec& spec_;
  const ExportFormat format_;
};

}  // namespace

Result<void> export_table(const LakeDestination& destination, const LakeManifest& manifest,
                          LakeTable table, ExportFormat format,
                          const std::function<bool(std::string_view)>& sink) {
  const TableSpec& spec = table_spec(table);
  const LineWriter writer(spec, format);
  bool open = sink(writer.heading());
  for (const LakeObject& object : manifest.table(table).files) {
    auto file = destination.open(object.name);
    if (!file.ok()) return std::move(file).error();
    auto parquet = ParquetFile::open(std::move(file).value());
    if (!parquet.ok()) return std::move(parquet).error();
    if (auto good = check_columns(parquet.value()->meta(), spec); !good.ok()) return good;
    auto read = each_row(*parquet.value(), spec,
                         [&](const std::vector<ColumnValues>& columns, size_t index) {
                           return open = sink(writer.line(columns, index));
                         });
    if (!read.ok()) return read;
    if (!open) return {};
  }
  return {};
}

}  // namespace hms::collector
