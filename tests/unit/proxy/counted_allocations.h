// counted_allocations.h: how many times `operator new` ran on this thread between construction and
// stop(). With a sanitizer, which brings its own operators, the count is always 0.
#pragma once

#include <cstddef>

class CountedAllocations {
 public:
  CountedAllocations();
  ~CountedAllocations();
  size_t stop();
};
