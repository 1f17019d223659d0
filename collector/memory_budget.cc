#include "collector/memory_budget.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace hms::collector {

namespace {
constexpr uint64_t kMostHeads = 32ULL * 1024 * 1024;
constexpr uint64_t kMostOfAnAnswer = 256ULL * 1024 * 1024;
}  // namespace

MemoryShares share_memory(uint64_t budget) noexcept {
  return {.storage = budget / 4,
          .series = budget / 8 * 3,
          .queries = budget / 4,
          .waiting = budget / 8,
          .heads = std::min(budget / 32, kMostHeads),
          .answers = std::min(budget / 16, kMostOfAnAnswer),
          .chunks = budget / 32};
}

bool MemoryGuard::look(uint64_t resident) noexcept {
  const bool falls = resident < resident_;
  resident_ = resident;
  // On above the one border, off below the other: no flutter.
  must_wait_ = resident > budget_ / 8 * 9 || (must_wait_ && resident > budget_ && falls);
  return must_wait_;
}

uint64_t resident_bytes() noexcept {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long long total = 0;
  unsigned long long resident = 0;
  const int read = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

void give_back_memory() noexcept { ::malloc_trim(0); }

}  // namespace hms::collector
