#include "collector/lake/manifest.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
using nlohmann::json;

constexpr int kFormat = 1;
constexpr size_t kMaxFiles = 10'000;
constexpr size_t kMaxServices = 2'000;

Error corrupt(const std::string& detail) {
  return {Code::corrupt, net::Side::self, false, "manifest: " + detail};
}

// Whole numbers of 64 bits are texts: many JSON readers keep 53 bits.
template <class T>
bool read_number(const json& object, const char* name, T& out) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) return false;
  const auto& text = it->get_ref<const std::string&>();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool read_text(const json& object, const char* name, std::string& out) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) return false;
  out = it->get<std::string>();
  return true;
}

json object_json(const LakeObject& object) {
  return {{"name", object.name},
          {"bytes", std::to_string(object.bytes)},
          {"rows", std::to_string(object.rows)},
          {"sha256", object.sha256},
          {"min_time", std::to_string(object.min_time)},
          {"max_time", std::to_string(object.max_time)}};
}

/// Names that lie in the day's own folder, and nothing clever.
bool safe_name(const std::string& name, uint32_t day) {
  const std::string folder = object_name(day, "");
  if (name.rfind(folder, 0) != 0 || name.size() > 128) return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.", folder.size()) ==
             std::string::npos &&
         name.find("..") == std::string::npos;
}

bool read_object(const json& from, uint32_t day, LakeObject& object) {
  return from.is_object() && read_text(from, "name", object.name) && safe_name(object.name, day) &&
         read_number(from, "bytes", object.bytes) && read_number(from, "rows", object.rows) &&
         read_text(from, "sha256", object.sha256) &&
         read_number(from, "min_time", object.min_time) &&
         read_number(from, "max_time", object.max_time);
}

json table_json(const TableSpec& spec, const LakeTableManifest& table) {
  json columns = json::object();
  for (size_t i = 0; i < table.totals.columns.size(); ++i) {
    const ColumnType type = spec.columns[i].type;
    if (is_text(type) || type == ColumnType::real) continue;
    const TableTotals::Column& column = table.totals.columns[i];
    columns[spec.columns[i].name] = {{"sum", std::to_string(column.sum)},
                                     {"min", std::to_string(column.min)},
                                     {"max", std::to_string(column.max)}};
  }
  json files = json::array();
  for (const LakeObject& file : table.files) files.push_back(object_json(file));
  json out = {{"rows", std::to_string(table.totals.rows)},
              {"row_checksum", std::to_string(table.totals.checksum)},
              {"columns", std::move(columns)},
              {"files", std::move(files)}};
  if (table.trace_index) out["trace_index"] = object_json(*table.trace_index);
  return out;
}

bool read_columns(const json& columns, const TableSpec& spec, TableTotals& totals) {
  totals.columns.resize(totals.rows > 0 ? spec.columns.size() : 0);
  for (size_t i = 0; i < totals.columns.size(); ++i) {
    const ColumnType type = spec.columns[i].type;
    if (is_text(type) || type == ColumnType::real) continue;
    const auto it = columns.find(spec.columns[i].name);
    if (it == columns.end() || !it->is_object() ||
        !read_number(*it, "sum", totals.columns[i].sum) ||
        !read_number(*it, "min", totals.columns[i].min) ||
        !read_number(*it, "max", totals.columns[i].max))
      return false;
  }
  return true;
}

bool read_table(const json& from, uint32_t day, const TableSpec& spec, LakeTableManifest& table) {
  if (!from.is_object() || !read_number(from, "rows", table.totals.rows) ||
      !read_number(from, "row_checksum", table.totals.checksum))
    return false;
  const auto columns = from.find("columns");
  const auto files = from.find("files");
  if (columns == from.end() || !columns->is_object() || files == from.end() || !files->is_array() ||
      files->size() > kMaxFiles)
    return false;
  if (!read_columns(*columns, spec, table.totals)) return false;
  for (const json& file : *files) {
    if (!read_object(file, day, table.files.emplace_back())) return false;
  }
  if (const auto index = from.find("trace_index"); index != from.end())
    return read_object(*index, day, table.trace_index.emplace());
  return true;
}

}  // namespace

std::string day_text(uint32_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

std::optional<uint32_t> parse_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  unsigned parts[3] = {};
  const std::string_view pieces[] = {text.substr(0, 4), text.substr(5, 2), text.substr(8, 2)};
  for (size_t i = 0; i < 3; ++i) {
    const char* end = pieces[i].data() + pieces[i].size();
    const auto [stopped, error] = std::from_chars(pieces[i].data(), end, parts[i]);
    if (error != std::errc() || stopped != end) return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(parts[0])},
                                         std::chrono::month{parts[1]}, std::chrono::day{parts[2]}};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days{date}.time_since_epoch().count();
  return days < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(days));
}

std::string object_name(uint32_t day, std::string_view file) {
  return "day=" + day_text(day) + "/" + std::string(file);
}
std::string manifest_name(uint32_t day) { return object_name(day, "manifest.json"); }

uint64_t LakeManifest::bytes() const {
  uint64_t sum = 0;
  for (const LakeTableManifest& table : tables) {
    for (const LakeObject& file : table.files) sum += file.bytes;
    if (table.trace_index) sum += table.trace_index->bytes;
  }
  return sum;
}

std::string encode_manifest(const LakeManifest& manifest) {
  json tables = json::object();
  for (const LakeTable which : kLakeTables) {
    if (is_map(which) && !manifest.has_map) continue;
    const TableSpec& spec = table_spec(which);
    tables[std::string(spec.name)] = table_json(spec, manifest.table(which));
  }
  const json out = {{"format", kFormat},
                    {"day", day_text(manifest.day)},
                    {"store", manifest.store},
                    {"rolled_at", manifest.rolled_at},
                    {"services", manifest.services},
                    {"tables", std::move(tables)}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<LakeManifest> decode_manifest(std::string_view text) {
  if (text.size() > kMaxManifestBytes) return corrupt("longer than 16 MiB");
  const json from = json::parse(text, nullptr, false);
  if (!from.is_object()) return corrupt("not a JSON object");
  const auto format = from.find("format");
  if (format == from.end() || !format->is_number_integer()) return corrupt("no format");
  if (format->get<int64_t>() != kFormat)
    return Error{Code::unsupported, net::Side::self, false,
                 "manifest of format " + format->dump() + ", this program reads 1"};
  LakeManifest out;
  std::string day;
  if (!read_text(from, "day", day) || !parse_day(day)) return corrupt("no day");
  out.day = *parse_day(day);
  if (!read_text(from, "store", out.store)) return corrupt("no store");
  static_cast<void>(read_text(from, "rolled_at", out.rolled_at));
  if (const auto services = from.find("services"); services != from.end()) {
    for (const json& service : *services) {
      if (service.is_string() && out.services.size() < kMaxServices)
        out.services.push_back(service.get<std::string>());
    }
  }
  const auto tables = from.find("tables");
  if (tables == from.end() || !tables->is_object()) return corrupt("no tables");
  out.has_map = tables->contains(std::string(table_spec(LakeTable::edges).name));
  for (const LakeTable which : kLakeTables) {
    if (is_map(which) && !out.has_map) continue;
    const TableSpec& spec = table_spec(which);
    const auto table = tables->find(std::string(spec.name));
    if (table == tables->end() || !read_table(*table, out.day, spec, out.table(which)))
      return corrupt("table " + std::string(spec.name) + " cannot be read");
  }
  return out;
}

}  // namespace hms::collector
