// federated.h: the stores' questions, answered from the hot days and the lake together.
//
// A day is in one place at a time: the engine drops it in the same step in which Lake::publish
// announces it. A question that saw the change (Lake::version) is asked once more, so nothing is
// missing and nothing is doubled. Where the lake is away, the answer has the hot part and a
// warning. Writing goes to the hot store alone. Thread: questions from any.
#pragma once

#include <memory>

#include "collector/lake/lake.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edges.h"
#include "collector/store/span_store.h"

namespace hms::collector {

/// All arguments must outlive what is returned.
[[nodiscard]] std::unique_ptr<SpanStore> federate_spans(SpanStore& hot, const Lake& lake);
[[nodiscard]] std::unique_ptr<LogStore> federate_logs(LogStore& hot, const Lake& lake);
[[nodiscard]] std::unique_ptr<ServiceEdgeStore> federate_edges(ServiceEdgeStore& hot,
                                                               const Lake& lake);
[[nodiscard]] std::unique_ptr<SeriesSource> federate_series(const SeriesSource& hot,
                                                            const Lake& lake);

}  // namespace hms::collector
