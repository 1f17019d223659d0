// series_exemplars.h: traces that stand for points of a series: which request was that slow one?
//
// At most one a series and 15 seconds is kept, the one with the greatest value, in the family of
// its own day, so exemplars are bounded by the series and expire with them. Format:
// docs/storage-format.md. Thread: values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "collector/store/series_store.h"

namespace hms::collector {

inline constexpr int64_t kExemplarSlotMillis = 15'000;

[[nodiscard]] std::string exemplar_key(uint32_t series, int64_t t_millis);
[[nodiscard]] std::string write_exemplar(const Exemplar& exemplar);
/// Nothing: the bytes are not an exemplar of this program's version.
[[nodiscard]] std::optional<Exemplar> read_exemplar(std::string_view stored);

}  // namespace hms::collector
