// parallel.h: one task's work shared with threads that happen to be free.
//
// The caller always works itself and never waits for a thread that has not begun, so that a busy or
// closed executor costs nothing but time and nothing can wait for itself. Thread: any.
#pragma once

#include <cstddef>
#include <functional>

#include "collector/executor.h"

namespace hms::collector {

/// Calls work(i) once for each i below `count`, some of them on other threads, and returns when all
/// are done. What `work` throws first is thrown again here.
using ParallelFor = std::function<void(size_t count, const std::function<void(size_t)>& work)>;

/// With up to `helpers` threads of `executor`, which must outlive it.
[[nodiscard]] ParallelFor make_parallel_for(Executor& executor, size_t helpers);

/// The same on this thread alone if `parallel` is empty.
void for_each_index(const ParallelFor& parallel, size_t count,
                    const std::function<void(size_t)>& work);

}  // namespace hms::collector
