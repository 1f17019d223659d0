#include "collector/store/rocks_damage.h"

#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "collector/store/rocks_names.h"
#include "net/core/errno_text.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr size_t kBatchBytes = 1024UL * 1024;
constexpr size_t kMaxListBytes = 1024UL * 1024;
constexpr std::string_view kTable = ".sst";

uint64_t now_seconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

/// A hard link, or a copy where the file system has none.
Result<void> keep_file(const std::string& from, const std::string& to) {
  std::error_code fault;
  if (std::filesystem::exists(to, fault)) return {};
  std::filesystem::create_hard_link(from, to, fault);
  if (fault) std::filesystem::copy_file(from, to, fault);
  if (!fault) return {};
  return Error{fault == std::errc::no_space_on_device ? Code::no_space : Code::io, net::Side::self,
               true, "setting " + from + " aside: " + fault.message()};
}

std::string to_line(const Damage& damage) {
  return nlohmann::json{{"file", damage.file},
                        {"family", family_text(damage.family)},
                        {"bytes", damage.bytes},
                        {"records_kept", damage.records_kept},
                        {"unix_seconds", damage.unix_seconds},
                        {"reason", damage.reason}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Damage> from_line(const std::string& line) {
  const auto value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  const auto text = [&value](const char* key) {
    const auto it = value.find(key);
    return it != value.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  const auto number = [&value](const char* key) {
    const auto it = value.find(key);
    return it != value.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
  };
  Damage damage;
  damage.file = text("file");
  if (damage.file.empty()) return std::nullopt;
  damage.family = family_of_name(text("family")).value_or(Family::meta());
  damage.bytes = number("bytes");
  damage.records_kept = number("records_kept");
  damage.unix_seconds = number("unix_seconds");
  damage.reason = text("reason");
  return damage;
}

}  // namespace

std::optional<std::string> damaged_table_of(const rocksdb::Status& status) {
  const std::string text = status.ToString();
  const bool gone = status.IsIOError() && text.find("No such file") != std::string::npos;
  if (!status.IsCorruption() && !gone) return std::nullopt;
  size_t end = text.find(kTable);
  if (end == std::string::npos) end = text.find(".ldb");  // how RocksDB names one that is gone
  if (end == std::string::npos) return std::nullopt;
  size_t begin = end;
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  if (begin == end) return std::nullopt;
  return text.substr(begin, end - begin) + std::string(kTable);
}

// ---------------------------------------------------------------- the listener

void DamageListener::OnBackgroundError(rocksdb::BackgroundErrorReason reason,
                                       rocksdb::Status* fault) {
  if (reason != rocksdb::BackgroundErrorReason::kCompaction || !damaged_table_of(*fault)) return;
  {
    const std::lock_guard lock(mutex_);
    if (faults_.size() < RocksDamage::kMaxFiles) faults_.push_back(*fault);
    any_.store(true, std::memory_order_relaxed);
  }
  *fault = rocksdb::Status::OK();
}

std::vector<rocksdb::Status> DamageListener::take() {
  const std::lock_guard lock(mutex_);
  any_.store(false, std::memory_order_relaxed);
  return std::exchange(faults_, {});
}

// ---------------------------------------------------------------- what can still be read

/// Writes anew what a damaged table still gives.
struct RocksDamage::Salvage {
  rocksdb::DB& db;
  rocksdb::ColumnFamilyHandle* family;
  std::mutex& writing;
  uint64_t kept = 0;
  std::optional<Error> error;

  /// From both ends, up to what cannot be read.
  void run(const std::string& path) {
    rocksdb::SstFileReader reader{rocksdb::Options()};
    if (!reader.Open(path).ok()) return;  // its index is gone: nothing can be found in it
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    const std::unique_ptr<rocksdb::Iterator> it(reader.NewIterator(options));
    std::string last;
    it->SeekToFirst();
    while (take_some(*it, last, false)) {
    }
    if (it->status().ok() || error) return;
    it->SeekToLast();
    while (take_some(*it, last, true)) {
    }
  }

  /// The next piece. Forwards `last` becomes the last key; backwards it is where to stop. False at
  /// the end.
  bool take_some(rocksdb::Iterator& it, std::string& last, bool backwards) {
    const std::lock_guard lock(writing);
    rocksdb::WriteBatch batch;
    bool more = false;
    for (; it.Valid(); backwards ? it.Prev() : it.Next()) {
      if (backwards && it.key().compare(last) <= 0) break;
      if (batch.GetDataSize() > kBatchBytes) {
        more = true;
        break;
      }
      if (!backwards) last = it.key().ToString();
      std::string newest;  // what is hidden by a newer value, or deleted, stays so
      if (!db.Get({}, family, it.key(), &newest).ok() || it.value().compare(newest) != 0) continue;
      batch.Put(family, it.key(), it.value()).PermitUncheckedError();
      ++kept;
    }
    if (batch.Count() == 0) return more;
    rocksdb::WriteOptions options;
    options.sync = true;
    if (const rocksdb::Status status = db.Write(options, &batch); !status.ok()) {
      error = error_of(status, "writing anew what a damaged file still holds");
      return false;
    }
    return more;
  }
};

// ---------------------------------------------------------------- one directory

RocksDamage::RocksDamage(std::string directory) : directory_(std::move(directory)) {
  std::ifstream file(place() + "/damage.jsonl");
  size_t bytes = 0;
  for (std::string line; std::getline(file, line) && bytes < kMaxListBytes; bytes += line.size()) {
    if (auto damage = from_line(line)) list_.push_back(std::move(*damage));
  }
}

Result<void> RocksDamage::make_place() const {
  if (::mkdir(place().c_str(), 0750) == 0 || errno == EEXIST) return {};
  return Error{Code::io, net::Side::self, true, place() + ": " + net::errno_text(errno)};
}

void RocksDamage::record(Damage damage) {
  damage.unix_seconds = now_seconds();
  net::log_error("a damaged file was set aside; the rest is served",
                 {{"file", place() + "/" + damage.file},
                  {"records_of", family_text(damage.family)},
                  {"bytes", damage.bytes},
                  {"records_kept", damage.records_kept},
                  {"reason", damage.reason}});
  std::ofstream(place() + "/damage.jsonl", std::ios::app) << to_line(damage) << "\n";
  const std::lock_guard lock(mutex_);
  list_.push_back(std::move(damage));
}

std::vector<Damage> RocksDamage::list() const {
  const std::lock_guard lock(mutex_);
  return list_;
}

Result<void> RocksDamage::set_table_aside(rocksdb::DB& db, const FindHandle& find,
                                          std::mutex& writing, const std::string& file,
                                          const std::string& reason) {
  const std::lock_guard lock(one_at_a_time_);
  std::vector<rocksdb::LiveFileMetaData> live;
  db.GetLiveFilesMetaData(&live);
  const auto is_it = [&file](const rocksdb::LiveFileMetaData& f) { return f.name == "/" + file; };
  const auto found = std::find_if(live.begin(), live.end(), is_it);
  if (found == live.end()) return {};  // somebody else was faster, or a compaction
  const std::string path = directory_ + "/" + file;
  if (!tried_.insert(file).second || tried_.size() > kMaxFiles) {
    return Error{Code::corrupt, net::Side::self, false,
                 path + " is damaged and cannot be set aside while the collector runs (" + reason +
                     "); it will be at the next start"};
  }
  const auto day = family_of_name(found->column_family_name);
  const auto handle = find(day.value_or(Family::meta()));
  if (!handle) return {};
  if (auto made = make_place(); !made.ok()) return made;
  Salvage salvage{db, handle.get(), writing, 0, std::nullopt};
  if (std::error_code fault; std::filesystem::exists(path, fault)) {
    if (auto kept = keep_file(path, place() + "/" + file); !kept.ok()) return kept;
    salvage.run(path);
  }
  if (salvage.error) return std::move(*salvage.error);
  // A file that is being compacted is passed over without a word.
  db.PauseBackgroundWork().PermitUncheckedError();
  const rocksdb::Status removed = db.DeleteFile(file);
  db.ContinueBackgroundWork().PermitUncheckedError();
  if (!removed.ok()) {
    std::ofstream(place() + "/rebuild") << file << "\n";
    return Error{Code::corrupt, net::Side::self, false,
                 path + " (" + found->column_family_name + ") is damaged (" + reason +
                     "); other files stand on it, so it is set aside at the next start"};
  }
  record({file, day.value_or(Family::meta()), found->size, salvage.kept, 0, reason});
  return {};
}

Result<void> RocksDamage::keep_logs(const std::string& reason) {
  if (auto made = make_place(); !made.ok()) return made;
  Damage damage;
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, fault)) {
    if (entry.path().extension() != ".log") continue;
    const std::string name = entry.path().filename();
    if (auto kept = keep_file(entry.path(), place() + "/" + name); !kept.ok()) return kept;
    damage.file += (damage.file.empty() ? "" : ", ") + name;
    damage.bytes += entry.file_size(fault);
  }
  damage.reason = reason + "; all its records but the damaged ones are taken";
  record(std::move(damage));
  return {};
}

// ---------------------------------------------------------------- rebuilding

bool RocksDamage::needs_rebuild() const {
  std::error_code fault;
  return std::filesystem::exists(place() + "/rebuild", fault);
}

Result<void> RocksDamage::rebuild(const rocksdb::DBOptions& options,
                                  const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                                  const rocksdb::ColumnFamilyOptions& other_families) {
  net::log_warn("the database is rebuilt from the files that can be read",
                {{"directory", directory_}});
  const rocksdb::Status status = rocksdb::RepairDB(directory_, options, families, other_families);
  if (!status.ok()) return error_of(status, "rebuilding the data directory " + directory_);
  if (auto made = make_place(); !made.ok()) return made;
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lost", fault)) {
    const std::string name = entry.path().filename();
    const bool table = entry.path().extension() == kTable;
    const uint64_t bytes = entry.file_size(fault);
    std::filesystem::rename(entry.path(), place() + "/" + name, fault);
    if (table && !fault) {
      record({name, Family::meta(), bytes, 0, 0, "left out when the database was rebuilt"});
    }
  }
  std::filesystem::remove(place() + "/rebuild", fault);
  return {};
}

}  // namespace hms::collector
