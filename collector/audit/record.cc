#include "collector/audit/record.h"

#include <nlohmann/json.hpp>

#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

using nlohmann::json;

/// The texts of a record: left out where they are empty.
struct TextField {
  const char* name;
  std::string AuditRecord::*text;
};
constexpr TextField kTexts[] = {
    {"id", &AuditRecord::id},
    {"peer", &AuditRecord::peer},
    {"tls_name", &AuditRecord::tls_name},
    {"identity", &AuditRecord::identity},
    {"question", &AuditRecord::question},
    {"method", &AuditRecord::method},
    {"path", &AuditRecord::path},
    {"query", &AuditRecord::query},
};

std::set<std::string> texts(const json& list) {
  std::set<std::string> out;
  if (!list.is_array()) return out;
  for (const json& item : list) {
    if (item.is_string()) out.insert(item.get<std::string>());
  }
  return out;
}

}  // namespace

std::string cut_text(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  size_t end = most - 3;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "…";
}

void AuditRecord::add_service(std::string_view name) {
  std::string kept = cut_text(name, kMaxServiceBytes);
  if (services.contains(kept)) return;
  ++services_total;  // beyond the bound one service may count twice
  if (services.size() < kMaxServices) services.insert(std::move(kept));
}

void AuditRecord::add_trace(const std::string& trace) {
  if (trace_ids.contains(trace)) return;
  ++traces_total;
  if (trace_ids.size() < kMaxTraces) trace_ids.insert(trace);
}

std::string encode_audit_record(const AuditRecord& record) {
  json out = {
      {"time", telemetry::rfc3339(static_cast<int64_t>(record.time_unix_nanos / 1'000'000))},
      {"time_unix_nanos", std::to_string(record.time_unix_nanos)},
      {"status", record.status},
      {"services", record.services},
      {"records", record.records}};
  for (const TextField& field : kTexts) {
    if (const std::string& text = record.*field.text; !text.empty()) out[field.name] = text;
  }
  if (!record.trace_ids.empty()) out["trace_ids"] = record.trace_ids;
  if (record.traces_total > record.trace_ids.size()) out["traces_total"] = record.traces_total;
  if (record.services_total > record.services.size()) out["services_total"] = record.services_total;
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

net::Result<AuditRecord> decode_audit_record(std::string_view text) {
  const json in = json::parse(text, nullptr, false);
  const net::Error wrong{net::Code::corrupt, net::Side::self, false,
                         "an audit record is not what was written"};
  if (!in.is_object()) return wrong;
  AuditRecord out;
  try {
    out.time_unix_nanos = std::stoull(in.value("time_unix_nanos", "x"));
    for (const TextField& field : kTexts) out.*field.text = in.value(field.name, "");
    out.status = in.value("status", 0);
    out.records = in.value("records", uint64_t{0});
    out.services = texts(in.value("services", json::array()));
    out.trace_ids = texts(in.value("trace_ids", json::array()));
    out.services_total = in.value("services_total", uint64_t{out.services.size()});
    out.traces_total = in.value("traces_total", uint64_t{out.trace_ids.size()});
  } catch (const std::exception&) {  // a field of another type
    return wrong;
  }
  return out;
}

}  // namespace hms::collector
