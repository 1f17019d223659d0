// audit_command.h: `hms-collector audit export`: audit records as NDJSON on stdout, newest first:
// of a running collector, of the data directory of one that is stopped, or of a lake. Exit codes as
// the program's.
#pragma once

namespace hms::collector {

/// `argv` from the word after `audit`.
[[nodiscard]] int run_audit_command(int argc, const char* const* argv);

}  // namespace hms::collector
