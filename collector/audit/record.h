// record.h: one audit record: who asked for what, when, and what the answer touched; and its JSON
// text, as it is stored, shown and exported.
//
// Limits: texts are cut at the bounds below and then end in "…"; lists hold the first of each, with
// the whole number beside them. A record is at most about 24 KiB. Thread: values.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "net/core/result.h"

namespace hms::collector {

struct AuditRecord {
  static constexpr size_t kMaxWhoBytes = 256;
  static constexpr size_t kMaxPathBytes = 512;
  static constexpr size_t kMaxQueryBytes = 4096;
  static constexpr size_t kMaxServiceBytes = 256;
  static constexpr size_t kMaxServices = 32;
  static constexpr size_t kMaxTraces = 100;

  uint64_t time_unix_nanos = 0;
  std::string id;  // set when it is stored: its place among the others, 32 hex digits
  // Who.
  std::string peer;      // "10.1.2.3:51324", or the user of a command
  std::string tls_name;  // of a caller with a verified certificate; else empty
  std::string identity;  // what `identity_header` said; empty without one
  // What.
  std::string question;  // trace, traces, logs, tail, tail_lines, export, audit
  std::string method, path, query;
  // What came of it.
  int status = 0;
  std::set<std::string> services;   // marked ones, named by the question or in its answer
  std::set<std::string> trace_ids;  // in the answer, of marked services
  uint64_t services_total = 0, traces_total = 0;
  uint64_t records = 0;  // spans or lines in the answer, of all services

  /// Within the bounds above.
  void add_service(std::string_view name);
  void add_trace(const std::string& id);
};

/// The first bytes of a text, at a character's border.
[[nodiscard]] std::string cut_text(std::string_view text, size_t most);

[[nodiscard]] std::string encode_audit_record(const AuditRecord& record);
/// Errors: corrupt.
[[nodiscard]] net::Result<AuditRecord> decode_audit_record(std::string_view text);

}  // namespace hms::collector
