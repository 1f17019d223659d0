#include "proxy/instance.h"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace hms::proxy;

TEST_CASE("instance: a restart keeps the instance and counts on") {
  const hms::test::TemporaryDirectory folder;
  std::string id;
  for (const uint64_t boot : {1U, 2U, 3U}) {
    const auto instance = load_instance(folder / "spool");
    REQUIRE(instance.ok());
    CHECK(instance->boot_number == boot);
    if (boot > 1) CHECK(instance->id == id);
    id = instance->id;
  }
}

TEST_CASE("instance: two processes with one folder never send under one identity") {
  const hms::test::TemporaryDirectory folder;
  const auto first = load_instance(folder.path());
  const auto second = load_instance(folder.path());
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(first->id != second->id);
}

TEST_CASE("instance: a file that cannot be understood is replaced") {
  const hms::test::TemporaryDirectory folder;
  std::ofstream(folder / "identity") << "not a uuid 7\n";
  {
    const auto instance = load_instance(folder.path());
    REQUIRE(instance.ok());
    CHECK(instance->boot_number == 1);
  }
  CHECK(load_instance(folder.path())->boot_number == 2);
}

TEST_CASE("instance: without a folder every start is an instance of its own") {
  CHECK(load_instance("")->id != load_instance("")->id);
}

TEST_CASE("instance: a folder that cannot be made is told with its path") {
  const auto instance = load_instance("/dev/null/spool");
  REQUIRE_FALSE(instance.ok());
  CHECK(instance.error().detail.find("/dev/null/spool") != std::string::npos);
}
