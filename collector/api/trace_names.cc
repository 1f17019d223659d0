#include "collector/api/trace_names.h"

namespace hms::collector {
namespace {

constexpr size_t kTraceDigits = 32;
constexpr size_t kMaxToldBytes = 256;  // of a text in an error; no x-trace is longer

}  // namespace

std::vector<telemetry::TraceId> trace_ids_named(std::string_view text) {
  std::vector<telemetry::TraceId> ids;
  const auto add = [&ids](const telemetry::TraceId& id) {
    if (!id.is_zero()) ids.push_back(id);
  };
  add(telemetry::trace_id_of_text(text));
  const bool hexadecimal =
      text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  if (!text.empty() && text.size() < kTraceDigits && hexadecimal) {
    std::string padded(kTraceDigits - text.size(), '0');
    padded += text;
    if (const auto id = telemetry::parse_trace_id(padded)) add(*id);
  }
  return ids;
}

net::Result<Trace> trace_named(const SpanStore& spans, const std::string& text) {
  for (const telemetry::TraceId& id : trace_ids_named(text)) {
    auto trace = spans.trace(id);
    if (trace.ok() || trace.error().code != net::Code::not_found) return trace;
  }
  return net::Error{net::Code::not_found, net::Side::downstream, false,
                    "no span of trace " + text.substr(0, kMaxToldBytes) + " is stored"};
}

}  // namespace hms::collector
