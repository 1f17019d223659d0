// backup_command.h: `hms-collector backup|restore|verify` (docs/operations.md). Thread: main.
#pragma once

#include <optional>

namespace hms::collector {

/// The exit code if the command line is one of these, nothing otherwise: 0 done; 1 failed, with one
/// sentence on stderr; 2 wrong usage.
[[nodiscard]] std::optional<int> run_backup_command(int argc, const char* const* argv);

}  // namespace hms::collector
