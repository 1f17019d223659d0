#include "collector/store/rocks_open.h"

#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "collector/store/family_name.h"
#include "collector/store/rocks_directory.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

bool has_files_of_ours(const std::string& directory) {
  std::error_code fault;
  for (auto it = std::filesystem::directory_iterator(directory, fault);
       !fault && it != std::filesystem::directory_iterator(); it.increment(fault)) {
    if (it->path().extension() == ".sst" ||
        it->path().filename().string().rfind("MANIFEST-", 0) == 0)
      return true;
  }
  return false;
}

class Opener {
 public:
  Opener(const std::string& directory, const Budget& budget,
         const std::shared_ptr<DamageListener>& listener, RocksDamage& damage)
      : directory_(directory),
        budget_(budget),
        damage_(damage),
        options_(database_options(budget)) {
    options_.listeners.push_back(listener);
  }

  Result<OpenRocks> open() {
    if (damage_.needs_rebuild()) {
      if (auto rebuilt = rebuild(); !rebuilt.ok()) return std::move(rebuilt).error();
    }
    for (size_t attempt = 0;; ++attempt) {
      rocksdb::Status fault;
      auto opened = open_with(options_, fault);
      if (opened.ok() || fault.ok() || attempt == RocksDamage::kMaxFiles) return opened;
      if (const auto table = damaged_table_of(fault)) {
        if (auto healed = open_without(*table, fault); !healed.ok())
          return std::move(healed).error();
      } else if (fault.IsCorruption() && !skips_damaged_records()) {
        if (auto kept = damage_.keep_logs(fault.ToString()); !kept.ok())
          return std::move(kept).error();
        options_.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
      } else {
        return opened;
      }
    }
  }

 private:
  bool skips_damaged_records() const {
    return options_.wal_recovery_mode == rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  }

  /// Opens in spite of a damaged table, only to set it aside.
  Result<void> open_without(const std::string& table, const rocksdb::Status& fault) {
    rocksdb::DBOptions lenient = database_options(budget_);
    lenient.paranoid_checks = false;
    rocksdb::Status again;
    auto opened = open_with(lenient, again);
    if (!opened.ok()) return std::move(opened).error();
    const auto find = [&opened](Family family) {
      const auto it = opened->families.find(family);
      return it == opened->families.end() ? nullptr : it->second;
    };
    std::mutex nobody_else_writes;
    auto set =
        damage_.set_table_aside(*opened->db, find, nobody_else_writes, table, fault.ToString());
    opened->families.clear();
    opened->db.reset();
    if (set.ok() || !damage_.needs_rebuild()) return set;
    return rebuild();
  }

  Result<void> rebuild() {
    auto names = family_names();
    if (!names.ok()) return std::move(names).error();
    return damage_.rebuild(database_options(budget_), descriptors(names.value()),
                           family_options(budget_));
  }

  Result<std::vector<std::string>> family_names() const {
    std::vector<std::string> names;
    const rocksdb::Status listed =
        rocksdb::DB::ListColumnFamilies(database_options(budget_), directory_, &names);
    if (listed.ok()) return names;
    // A new directory has no CURRENT file; one that has files of ours but no list is damaged.
    if (::access((directory_ + "/CURRENT").c_str(), F_OK) == 0)
      return open_error(listed, directory_);
    if (has_files_of_ours(directory_)) {
      return Error{Code::corrupt, net::Side::self, false,
                   "data directory " + directory_ +
                       " is damaged: the file CURRENT is missing; restore it from a copy"};
    }
    return std::vector<std::string>{rocksdb::kDefaultColumnFamilyName};
  }

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors(
      const std::vector<std::string>& names) const {
    std::vector<rocksdb::ColumnFamilyDescriptor> out;
    for (const auto& name : names) out.emplace_back(name, family_options(budget_));
    return out;
  }

  /// `fault`: what RocksDB said, where the opening failed for it.
  Result<OpenRocks> open_with(const rocksdb::DBOptions& options, rocksdb::Status& fault) const {
    auto names = family_names();
    if (!names.ok()) return std::move(names).error();
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* raw = nullptr;
    fault = rocksdb::DB::Open(options, directory_, descriptors(names.value()), &handles, &raw);
    if (!fault.ok()) return open_error(fault, directory_);
    OpenRocks out{std::shared_ptr<rocksdb::DB>(raw), {}};
    std::string unknown;
    for (size_t i = 0; i < handles.size(); ++i) {
      const std::string& name = names.value()[i];
      RocksHandle handle = own_handle(out.db, handles[i]);
      if (name == rocksdb::kDefaultColumnFamilyName)
        out.families[Family::meta()] = std::move(handle);
      else if (const auto day = family_of_name(name))
        out.families[*day] = std::move(handle);
      else
        unknown = name;
    }
    if (unknown.empty()) return out;
    return Error{Code::corrupt, net::Side::self, false,
                 "data directory " + directory_ + ": unknown family '" + unknown +
                     "'; it was written by another program"};
  }

  const std::string& directory_;
  const Budget& budget_;
  RocksDamage& damage_;
  rocksdb::DBOptions options_;
};

}  // namespace

RocksHandle own_handle(const std::shared_ptr<rocksdb::DB>& db,
                       rocksdb::ColumnFamilyHandle* handle) {
  return {handle, [db](rocksdb::ColumnFamilyHandle* h) {
            const rocksdb::Status status = db->DestroyColumnFamilyHandle(h);
            status.PermitUncheckedError();
          }};
}

Result<OpenRocks> open_rocks(const std::string& directory, const Budget& budget,
                             const std::shared_ptr<DamageListener>& listener, RocksDamage& damage) {
  return Opener(directory, budget, listener, damage).open();
}

}  // namespace hms::collector
