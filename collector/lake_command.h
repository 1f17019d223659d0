// lake_command.h: `hms-collector lake roll|verify|list|export`: the lake by hand.
//
//   lake list   --lake DEST                                   the days there are
//   lake verify --lake DEST [--day D]                         reads all of it and compares
//   lake export --lake DEST --day D --table T [--format ndjson|csv]   rows on stdout
//   lake roll   --lake DEST --data DIR --day D                now; through the running collector
//                                                             (--listen) if one holds DIR
// Takes the collector's own flags, environment and --config as well. Exit codes: 0, 1 (it failed,
// or something differs), 2 (usage). Thread: main.
#pragma once

namespace hms::collector {

/// `argv` without the program and "lake".
[[nodiscard]] int run_lake_command(int argc, const char* const* argv);

}  // namespace hms::collector
