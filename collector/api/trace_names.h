// trace_names.h: what a path or parameter means that names a trace: its id, or the text of an
// x-trace.
//
// A text of 1 to 31 hexadecimal digits may be either: an order number that came as x-trace, or an
// id of 64 bits, or one whose leading zeros a Jaeger client dropped. What was sent finds its trace
// first; the padded id is looked up when the text found nothing. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

/// The ids that `text` may mean, in the order to try; never zero, which stores take for "any". At
/// most two.
[[nodiscard]] std::vector<telemetry::TraceId> trace_ids_named(std::string_view text);

/// Errors: as SpanStore::trace; not_found names the text.
[[nodiscard]] net::Result<Trace> trace_named(const SpanStore& spans, const std::string& text);

}  // namespace hms::collector
