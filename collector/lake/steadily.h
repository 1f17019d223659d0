// steadily.h: asks hot days and lake until no day moved from one to the other meanwhile. Thread:
// any.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#include "collector/lake/lake.h"

namespace hms::collector {

inline constexpr int kAttempts = 4;          // days move minutes apart
inline constexpr int kMovePatience = 5'000;  // milliseconds

/// Asks until no day moved meanwhile.
template <class Ask>
auto steadily(const Lake& lake, const Ask& ask) {
  for (int attempt = 1;; ++attempt) {
    uint64_t before = lake.version();
    for (int waited = 0; before % 2 != 0 && waited < kMovePatience; ++waited) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // dropping a day takes a few
      before = lake.version();
    }
    auto answer = ask();
    if (lake.version() == before || attempt == kAttempts) return answer;
  }
}

}  // namespace hms::collector
