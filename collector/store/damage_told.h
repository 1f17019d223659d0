// damage_told.h: answers that touch a day of which a damaged file was set aside say so.
//
// A day's answers may lack what could not be read; nobody shall take them for whole. Warnings go
// where a lake that is away is told of: `warnings` of Prometheus' and Jaeger's answers and of log
// searches. Without damage a question passes through. Thread: questions from any.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "collector/store/kv.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_store.h"

namespace hms::collector {

/// What is damaged now (StorageEngine::damage).
using DamageList = std::function<std::vector<Damage>()>;

/// `store` and what `damage` refers to must outlive what is returned.
[[nodiscard]] std::unique_ptr<SpanStore> tell_damage(SpanStore& store, DamageList damage);
[[nodiscard]] std::unique_ptr<LogStore> tell_damage(LogStore& store, DamageList damage);
[[nodiscard]] std::unique_ptr<SeriesSource> tell_damage(const SeriesSource& store,
                                                        DamageList damage);

}  // namespace hms::collector
