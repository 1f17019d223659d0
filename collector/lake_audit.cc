#include "collector/lake_audit.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "net/core/clock.h"
#include "net/core/random.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Error;
using net::Result;

constexpr uint64_t kMaxRecordBytes = 1024 * 1024;
constexpr std::string_view kFolder = "audit/";

/// Names rise with time, so that a listing is in order.
std::string object_of(const AuditRecord& record) {
  std::array<char, 24> time{};
  std::snprintf(time.data(), time.size(), "%020llu",
                static_cast<unsigned long long>(record.time_unix_nanos));
  const auto day = static_cast<uint32_t>(record.time_unix_nanos / net::kNanosPerDay);
  return std::string(kFolder) + day_text(day) + "/" + time.data() + "-" + record.id + ".json";
}

}  // namespace

std::string command_user() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const uid_t user = ::getuid();
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const bool named =
      ::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return cut_text((named ? std::string(found->pw_name) + " " : std::string()) + "(uid " +
                      std::to_string(user) + ") on " + host.data(),
                  AuditRecord::kMaxWhoBytes);
}

Result<void> audit_lake_export(const LakeDestination& destination, const AuditSettings& settings,
                               const LakeManifest& manifest, LakeTable table,
                               const std::string& format) {
  if (!settings.on() || (table != LakeTable::spans && table != LakeTable::logs)) return {};
  AuditRecord record;
  for (const std::string& service : manifest.services) {
    if (settings.marks(service)) record.add_service(service);
  }
  if (record.services.empty()) return {};
  record.question = "export";
  record.peer = command_user();
  record.query = "day=" + day_text(manifest.day) + "&table=" + std::string(table_spec(table).name) +
                 "&format=" + format;
  record.path = "lake export";
  record.status = 200;
  record.records = manifest.table(table).totals.rows;
  record.time_unix_nanos = net::unix_nanos();
  record.id = net::uuid_text(net::uuid_v7());
  return destination.put(object_of(record), encode_audit_record(record));
}

Result<std::vector<AuditRecord>> read_lake_audit(const LakeDestination& destination) {
  auto names = destination.list(std::string(kFolder));
  if (!names.ok()) return std::move(names).error();
  std::vector<AuditRecord> out;
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    auto text = read_object(destination, *name, kMaxRecordBytes);
    if (!text.ok()) return std::move(text).error();
    auto record = decode_audit_record(text.value());
    if (!record.ok()) {
      Error error = std::move(record).error();
      error.detail = *name + ": " + error.detail;
      return error;
    }
    out.push_back(std::move(record).value());
  }
  return out;
}

}  // namespace hms::collector
