// prometheus_json.h: PromQL's answers as the JSON of the Prometheus HTTP API: values as texts,
// times as seconds. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "collector/query/promql/value.h"

namespace hms::collector {

/// `data` of a query's answer: {"resultType":...,"result":...}. `limit` 0: all series; `truncated`
/// says whether some were left out.
[[nodiscard]] std::string query_data_json(const promql::Value& value, size_t limit,
                                          bool& truncated);
/// {"name":"value",...}
void append_labels_json(std::string& out, const LabelSet& labels);
/// ["a","b"]
[[nodiscard]] std::string texts_json(const std::vector<std::string>& texts);
/// {"status":"success","data":...} with what else there is to say.
[[nodiscard]] std::string success_json(std::string data,
                                       const std::vector<std::string>& warnings = {},
                                       const std::vector<std::string>& infos = {});

}  // namespace hms::collector
