// attributes_json.h: attributes, events and links as JSON texts and back: how the lake keeps what
// has no column of its own.
//
// {"http.route":"/a","retries":2,"ratio":0.5,"flags":[1,2]}; order kept. A real number always has a
// point or an exponent, so that it comes back as one; NaN and infinities become texts. Reading
// never fails: what is not as written is left out. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

void append_attributes_json(std::string& out, const std::vector<StoredAttribute>& attributes);
[[nodiscard]] std::string attributes_json(const std::vector<StoredAttribute>& attributes);
[[nodiscard]] std::vector<StoredAttribute> attributes_of_json(std::string_view text);
/// Whether the key may be among them: a quick look that rules out most.
[[nodiscard]] bool json_may_name(std::string_view json, std::string_view key);
/// Whether one of them has this key, and this value as text.
[[nodiscard]] bool json_has_attribute(std::string_view json, std::string_view key,
                                      std::string_view text);

/// [{"time_unix_nano":1,"name":"x","attributes":{}}]; empty text for none.
[[nodiscard]] std::string events_json(const std::vector<StoredEvent>& events);
[[nodiscard]] std::vector<StoredEvent> events_of_json(std::string_view text);

using SpanLinks = std::vector<std::pair<telemetry::TraceId, telemetry::SpanId>>;
/// [{"trace_id":"...","span_id":"..."}]
[[nodiscard]] std::string links_json(const SpanLinks& links);
[[nodiscard]] SpanLinks links_of_json(std::string_view text);

}  // namespace hms::collector
