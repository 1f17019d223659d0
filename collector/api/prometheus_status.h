// prometheus_status.h: /api/v1/status/{buildinfo,runtimeinfo,flags,config,tsdb} of the Prometheus
// HTTP API: what this program is, how it was started, and which metrics and labels make series
// many.
//
// `tsdb` is the cardinality explorer: the largest metrics, labels and pairs (`limit` rows, 10 by
// default, at most 10,000). Thread: the loop's; `tsdb` runs on the executor. Source:
// prometheus/docs/querying/api.md.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "collector/executor.h"
#include "collector/store/series_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

struct StatusInfo {
  std::vector<std::pair<std::string, std::string>> flags;  // as given or by default
  std::function<std::string()> yaml;  // what is in force now, without secrets; the loop's thread
  uint32_t retention_days = 30;
};

/// All must outlive the server; the executor must be closed before `store` goes.
void register_prometheus_status(net::HttpServer& server, net::Loop& loop, Executor& executor,
                                const SeriesStore& store, StatusInfo info);

}  // namespace hms::collector
