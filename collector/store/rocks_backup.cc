#include "collector/store/rocks_backup.h"

#include <rocksdb/env.h>
#include <rocksdb/utilities/backup_engine.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

Error backup_error(const rocksdb::Status& status, const std::string& directory) {
  const std::string what = "backup directory " + directory + ": " + status.ToString();
  if (status.IsCorruption()) return {Code::corrupt, net::Side::self, false, what};
  if (status.IsNoSpace()) return {Code::no_space, net::Side::self, true, what};
  return {Code::io, net::Side::self, false, what};
}

rocksdb::BackupEngineOptions options_of(const std::string& directory) {
  rocksdb::BackupEngineOptions options(directory);
  options.share_table_files = true;
  options.share_files_with_checksum = true;  // incremental: a file that is there is not copied
  options.sync = true;
  options.max_background_operations = 1;
  return options;
}

BackupReport report_of(const rocksdb::BackupInfo& info) {
  return {info.backup_id, info.size, info.number_files, info.timestamp};
}

using ReadOnly = std::unique_ptr<rocksdb::BackupEngineReadOnly>;

Result<ReadOnly> open_read_only(const std::string& directory) {
  std::error_code fault;
  if (!std::filesystem::is_directory(directory, fault)) {
    return Error{Code::not_found, net::Side::self, false,
                 "backup directory " + directory + ": there is no such directory"};
  }
  rocksdb::BackupEngineReadOnly* raw = nullptr;
  const rocksdb::Status status =
      rocksdb::BackupEngineReadOnly::Open(rocksdb::Env::Default(), options_of(directory), &raw);
  if (!status.ok()) return backup_error(status, directory);
  return ReadOnly(raw);
}

Result<std::vector<BackupReport>> list(rocksdb::BackupEngineReadOnly& engine,
                                       const std::string& directory) {
  std::vector<rocksdb::BackupID> damaged;
  engine.GetCorruptedBackups(&damaged);
  if (!damaged.empty()) {
    return Error{Code::corrupt, net::Side::self, false,
                 "backup directory " + directory + ": the list or a file of backup " +
                     std::to_string(damaged.front()) + " is missing or of a wrong size"};
  }
  std::vector<rocksdb::BackupInfo> infos;
  engine.GetBackupInfo(&infos);
  if (infos.empty()) {
    return Error{Code::not_found, net::Side::self, false,
                 "backup directory " + directory + " holds no backup"};
  }
  std::vector<BackupReport> reports;
  reports.reserve(infos.size());
  for (const auto& info : infos) reports.push_back(report_of(info));
  return reports;
}

/// Files of a backup whose list (meta/ID) is gone, or whose making was cut short; empty: none. It
/// is not among the backups, so that nothing else here would miss it.
std::string files_without_list(const std::string& directory,
                               const std::vector<BackupReport>& reports) {
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/private", fault)) {
    const std::string id = entry.path().filename().string();
    const bool listed = std::any_of(reports.begin(), reports.end(), [&](const BackupReport& one) {
      return std::to_string(one.id) == id;
    });
    if (!listed)
      return "backup directory " + directory + ": private/" + id +
             " is of a backup whose list meta/" + id +
             " is missing: lost, or its making was cut short; the next backup removes the rest";
  }
  return {};
}

Result<std::vector<BackupReport>> compare_with_checksums(const std::string& directory) {
  auto engine = open_read_only(directory);
  if (!engine.ok()) return std::move(engine).error();
  auto reports = list(**engine, directory);
  if (!reports.ok()) return reports;
  for (const BackupReport& report : *reports) {
    const rocksdb::Status status = (*engine)->VerifyBackup(report.id, true);
    if (!status.ok()) {
      Error error = backup_error(status, directory);
      error.detail += " (backup " + std::to_string(report.id) + ")";
      return error;
    }
  }
  return reports;
}

}  // namespace

Result<BackupReport> make_backup(rocksdb::DB& db, const std::string& directory) {
  rocksdb::BackupEngine* raw = nullptr;
  rocksdb::Status status =
      rocksdb::BackupEngine::Open(options_of(directory), rocksdb::Env::Default(), &raw);
  if (!status.ok()) return backup_error(status, directory);
  const std::unique_ptr<rocksdb::BackupEngine> engine(raw);
  rocksdb::CreateBackupOptions how;
  how.flush_before_backup = false;  // the log goes along
  rocksdb::BackupID id = 0;
  status = engine->CreateNewBackup(how, &db, &id);
  if (!status.ok()) return backup_error(status, directory);
  status = engine->PurgeOldBackups(kKeptBackups);
  if (!status.ok())
    net::log_warn("old backups could not be removed", {{"error", status.ToString()}});
  rocksdb::BackupInfo info;
  status = engine->GetBackupInfo(id, &info);
  if (!status.ok()) return backup_error(status, directory);
  return report_of(info);
}

Result<std::vector<BackupReport>> list_backups(const std::string& directory) {
  auto engine = open_read_only(directory);
  if (!engine.ok()) return std::move(engine).error();
  return list(**engine, directory);
}

Result<std::vector<BackupReport>> verify_backups(const std::string& directory) {
  auto reports = compare_with_checksums(directory);
  if (!reports.ok()) return reports;
  if (std::string lost = files_without_list(directory, *reports); !lost.empty())
    return Error{Code::corrupt, net::Side::self, false, std::move(lost)};
  return reports;
}

Result<BackupReport> restore_backup(const std::string& directory, const std::string& data) {
  std::error_code fault;
  if (std::filesystem::exists(data, fault) && !std::filesystem::is_empty(data, fault)) {
    return Error{Code::bad_config, net::Side::self, false,
                 "data directory " + data +
                     " is not empty; restore into a new one, so that nothing is overwritten"};
  }
  auto reports = compare_with_checksums(directory);
  if (!reports.ok()) return std::move(reports).error();
  // The sound ones are worth restoring; whoever does shall know that there was another.
  if (const std::string lost = files_without_list(directory, *reports); !lost.empty())
    net::log_warn("a backup is not there", {{"error", lost}});
  auto engine = open_read_only(directory);
  if (!engine.ok()) return std::move(engine).error();
  const BackupReport newest = reports->back();
  const rocksdb::Status status = (*engine)->RestoreDBFromBackup(newest.id, data, data);
  if (!status.ok()) return backup_error(status, directory);
  return newest;
}

}  // namespace hms::collector
