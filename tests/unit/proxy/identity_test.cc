#include "proxy/identity.h"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace hms::proxy;

TEST_CASE("identity: a restart keeps the instance and counts on") {
  const hms::test::TemporaryDirectory folder;
  std::string instance;
  for (const uint64_t boot : {1U, 2U, 3U}) {
    const auto identity = load_identity(folder / "spool");
    REQUIRE(identity.ok());
    CHECK(identity->boot_number == boot);
    if (boot > 1) CHECK(identity->instance_id == instance);
    instance = identity->instance_id;
  }
}

TEST_CASE("identity: two processes with one folder never send under one identity") {
  const hms::test::TemporaryDirectory folder;
  const auto first = load_identity(folder.path());
  const auto second = load_identity(folder.path());
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(first->instance_id != second->instance_id);
}

TEST_CASE("identity: a file that cannot be understood is replaced") {
  const hms::test::TemporaryDirectory folder;
  std::ofstream(folder / "identity") << "not a uuid 7\n";
  {
    const auto identity = load_identity(folder.path());
    REQUIRE(identity.ok());
    CHECK(identity->boot_number == 1);
  }
  CHECK(load_identity(folder.path())->boot_number == 2);
}

TEST_CASE("identity: without a folder every start is an instance of its own") {
  CHECK(load_identity("")->instance_id != load_identity("")->instance_id);
}

TEST_CASE("identity: a folder that cannot be made is told with its path") {
  const auto identity = load_identity("/dev/null/spool");
  REQUIRE_FALSE(identity.ok());
  CHECK(identity.error().detail.find("/dev/null/spool") != std::string::npos);
}
