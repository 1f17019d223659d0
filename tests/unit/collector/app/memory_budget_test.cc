// How --memory is shared out, and when writers are told to wait.
#include "collector/memory_budget.h"

#include <doctest/doctest.h>

using namespace hms::collector;

TEST_CASE("memory budget: the shares are the whole") {
  const MemoryShares shares = share_memory(512ULL << 20);
  CHECK(shares.storage + shares.series + shares.queries + shares.waiting == 512ULL << 20);
  CHECK(shares.series == 192ULL << 20);
  CHECK(shares.answers == 32ULL << 20);
}

TEST_CASE("memory budget: writers wait above nine eighths, until it is below the whole again") {
  MemoryGuard guard(800);
  CHECK_FALSE(guard.look(800));
  CHECK_FALSE(guard.look(900));
  CHECK(guard.look(901));
  CHECK(guard.look(880));
  CHECK(guard.look(801));
  CHECK(guard.must_wait());
  CHECK_FALSE(guard.look(800));
  CHECK_FALSE(guard.look(890));
  CHECK(guard.resident() == 890);
}

TEST_CASE("memory budget: writers do not wait for memory that nothing gives back") {
  MemoryGuard guard(800);
  CHECK(guard.look(1000));
  CHECK(guard.look(1000));  // still too much, however long it takes
  CHECK(guard.look(850));
  CHECK_FALSE(guard.look(850));
  CHECK(guard.look(901));
}

TEST_CASE("memory budget: this process has some memory") {
  give_back_memory();
  CHECK(resident_bytes() > 1'000'000);
}
