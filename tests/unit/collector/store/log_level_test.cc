#include "collector/store/log_level.h"

#include <doctest/doctest.h>

using hms::collector::level_between;
using hms::collector::level_key;

TEST_CASE("log level: a level that may be spelled otherwise is not ruled out by its bounds") {
  for (const char* spelling : {"warn", "WARN", "Warn", "wArN", "warning", "WARNING", "Warning"}) {
    CAPTURE(spelling);
    CHECK(level_key(spelling) == "warn");
    CHECK(level_between("warn", spelling, spelling));
    CHECK(level_between("warn", "INFO", spelling) == (std::string_view("INFO") <= spelling));
    CHECK_FALSE(level_between("error", spelling, spelling));
  }
  CHECK(level_between("fatal", "CRITICAL", "CRITICAL"));
  CHECK(level_between("fatal", "Crit", "Crit"));
  CHECK(level_between("", "", "info"));
}

TEST_CASE("log level: levels of one case still rule out those beyond their bounds") {
  CHECK_FALSE(level_between("warn", "debug", "info"));
  CHECK_FALSE(level_between("warn", "DEBUG", "INFO"));
  CHECK_FALSE(level_between("error", "info", "warn"));
  CHECK_FALSE(level_between("debug", "error", "warn"));
  CHECK(level_between("error", "debug", "info"));
  CHECK(level_between("warn", "INFO", "info"));
  CHECK_FALSE(level_between("", "debug", "info"));
}
