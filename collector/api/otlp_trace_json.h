// otlp_trace_json.h: traces as OTLP JSON (TracesData of opentelemetry-proto 1.x): ids in
// hexadecimal, 64-bit numbers as texts, enumerations as numbers. For .cc files only. Thread: any.
//
// What the collector has to say about a span stands in its attribute "@jaeger@warnings", where
// Jaeger's own programs look for it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

/// {"resourceSpans":[...]}, resources of all traces after each other.
[[nodiscard]] nlohmann::json otlp_traces(const std::vector<Trace>& traces);

}  // namespace hms::collector
