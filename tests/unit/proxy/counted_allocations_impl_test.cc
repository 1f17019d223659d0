#include "tests/unit/proxy/counted_allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local bool counting = false;
thread_local size_t count = 0;
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(size_t size) {
  if (counting) ++count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

CountedAllocations::CountedAllocations() {
  count = 0;
  counting = true;
}
CountedAllocations::~CountedAllocations() { counting = false; }
size_t CountedAllocations::stop() {
  counting = false;
  return count;
}
