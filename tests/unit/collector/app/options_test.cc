#include "collector/options.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;

namespace {

CommandLine read(std::vector<const char*> arguments,
                 const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), "hms-collector");
  return read_command_line(static_cast<int>(arguments.size()), arguments.data(),
                           [&](const char* name) -> const char* {
                             const auto it = environment.find(name);
                             return it == environment.end() ? nullptr : it->second.c_str();
                           });
}

std::string write(const test::TemporaryDirectory& directory, const std::string& text) {
  std::ofstream(directory / "collector.yaml") << text;
  return directory / "collector.yaml";
}

}  // namespace

TEST_CASE(
    "collector options: flags win over the environment, the environment over the file, the file "
    "over the defaults") {
  const test::TemporaryDirectory directory;
  const std::string file = write(directory,
                                 "data: /from/file\nlisten: 127.0.0.1:1\notlp_listen: "
                                 "\"127.0.0.1:2\"\nretention_days: 7\nmemory: 256MiB\n");
  const CommandLine line =
      read({"--config", file.c_str(), "--listen", "127.0.0.1:3"},
           {{"HMS_LISTEN", "127.0.0.1:4"}, {"HMS_OTLP_LISTEN", "127.0.0.1:5"}});
  REQUIRE_MESSAGE(line.action == CommandLine::Action::run, line.errors);
  CHECK(line.options.data == "/from/file");
  CHECK(line.options.listen == "127.0.0.1:3");
  CHECK(line.options.otlp_listen == "127.0.0.1:5");
  CHECK(line.options.retention.days == 7);
  CHECK(line.options.memory_bytes == 256ULL << 20);
  CHECK(line.options.log_format == "json");
}

TEST_CASE("collector options: a wrong value of the environment harms nobody who gives the flag") {
  const std::map<std::string, std::string> wrong = {
      {"HMS_MEMORY", "7"},      {"HMS_RETENTION_DAYS", "x"}, {"HMS_MIN_FREE_DISK", "-"},
      {"HMS_LAKE_AT", "25:00"}, {"HMS_LAKE_CACHE", "1"},     {"HMS_RETENTION_LOGS", "0"},
      {"HMS_LISTEN", "nowhere"}};
  const CommandLine line = read({"--data", "/d", "--memory", "1GiB", "--retention-days", "3",
                                 "--min-free-disk", "0", "--lake-at", "03:00", "--lake-cache",
                                 "1GiB", "--retention-logs", "2", "--listen", "127.0.0.1:1"},
                                wrong);
  CHECK_MESSAGE(line.action == CommandLine::Action::run, line.errors);
  const CommandLine refused = read({"--data", "/d"}, wrong);
  CHECK(refused.exit_code == 2);
  for (const auto& variable : wrong) {
    const std::string& name = variable.first;
    if (name != "HMS_LISTEN")
      CHECK_MESSAGE(refused.errors.find(name + ": ") != std::string::npos, name);
  }
}

TEST_CASE("collector options: the file may be named by the environment") {
  const test::TemporaryDirectory directory;
  const CommandLine line = read({}, {{"HMS_CONFIG", write(directory, "data: /d\n")}});
  CHECK(line.action == CommandLine::Action::run);
  CHECK(line.options.data == "/d");
}

TEST_CASE("collector options: notifiers are read") {
  const test::TemporaryDirectory directory;
  const std::string file =
      write(directory,
            "notifiers:\n  - {name: oncall, type: pagerduty, routing_key: \"0123\"}\n"
            "  - {name: hook, type: webhook, url: \"http://127.0.0.1:9/x\", soc: true}\n");
  const CommandLine line = read({"--data", "/d", "--config", file.c_str()});
  REQUIRE_MESSAGE(line.action == CommandLine::Action::run, line.errors);
  REQUIRE(line.options.notifiers.size() == 2);
  CHECK(line.options.notifiers[0].routing_key == "0123");
  CHECK(line.options.notifiers[1].soc);
}

TEST_CASE("collector options: every fault is told at once with its place, and the exit code is 2") {
  const test::TemporaryDirectory directory;
  const std::string file = write(
      directory, "listn: x\nretention_days: 0\nnotifiers:\n  - {name: a, type: carrier_pigeon}\n");
  const CommandLine line = read({"--config", file.c_str(), "--otlp-listen", "nowhere", "--memory",
                                 "1KiB", "--log-format", "xml"});
  CHECK(line.action == CommandLine::Action::exit);
  CHECK(line.exit_code == 2);
  for (const char* expected : {"listn", "retention_days", "carrier_pigeon", ":1:", ":4:",
                               "--otlp-listen", "--memory", "--log-format", "--data: missing"}) {
    CHECK_MESSAGE(line.errors.find(expected) != std::string::npos, expected << "\n" << line.errors);
  }
}

TEST_CASE("collector options: unknown flags are bad usage; help and version are not") {
  CHECK(read({"--nonsense"}).exit_code == 2);
  CHECK(read({"--data"}).exit_code == 2);
  CHECK(read({"--data", "/d", "stray"}).exit_code == 2);
  CHECK(read({}).exit_code == 2);
  const CommandLine help = read({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.action == CommandLine::Action::exit);
  for (const char* flag : {"--data", "--listen", "--otlp-listen", "--rules", "--config", "--check",
                           "--version", "--log-format"}) {
    CHECK_MESSAGE(help.output.find(flag) != std::string::npos, flag);
  }
  CHECK(read({"--version"}).output.find("hms-collector ") == 0);
}

TEST_CASE("collector options: a configuration is checked without a data directory") {
  CHECK(read({"--check"}).action == CommandLine::Action::run);
  CHECK(read({"--check"}).options.check);
}

TEST_CASE("collector options: docs/config-collector.md has every key, and no other") {
  std::ifstream file(HMS_SOURCE_DIR "/docs/config-collector.md");
  REQUIRE(file.good());
  std::vector<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| `", 0) != 0) continue;
    documented.push_back(line.substr(3, line.find('`', 3) - 3));
  }
  std::vector<std::string> keys = config_keys();
  std::sort(keys.begin(), keys.end());
  std::sort(documented.begin(), documented.end());
  CHECK(documented == keys);
}
