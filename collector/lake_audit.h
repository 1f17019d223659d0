// lake_audit.h: `hms-collector lake export` reads the lake without a collector, so who took what of
// marked services is recorded in the lake itself: one object a run, audit/<day>/<time>-<id>.json,
// durable before the first row goes out.
//
// Whoever can read the bucket or folder with other tools is recorded by its owner's means, not by
// ours. Thread: the command's.
#pragma once

#include <vector>

#include "collector/audit/audit_log.h"
#include "collector/lake/destination.h"
#include "collector/lake/manifest.h"

namespace hms::collector {

/// Nothing to do when the audit is off, the table has no spans or lines, or the day none of a
/// marked service. Errors: as LakeDestination::put; then nothing may be exported.
[[nodiscard]] net::Result<void> audit_lake_export(const LakeDestination& destination,
                                                  const AuditSettings& settings,
                                                  const LakeManifest& manifest, LakeTable table,
                                                  const std::string& format);

/// "root (uid 0) on host": who runs a command.
[[nodiscard]] std::string command_user();

/// What was recorded in a lake, newest first. Errors: as LakeDestination; corrupt.
[[nodiscard]] net::Result<std::vector<AuditRecord>> read_lake_audit(
    const LakeDestination& destination);

}  // namespace hms::collector
