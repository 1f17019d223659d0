// rocks_kv.cc: kv.h on RocksDB 7.8 (Debian's).
//
// One column family per UTC day ("day-2026-11-22") and the default one for what outlives days
// (`meta`). One write batch and one synced write-ahead log append per commit. Memory is one budget:
// memtables are charged to the block cache. A write that the disk refuses leaves RocksDB in an
// error state; the next commit asks it to resume, so that work goes on by itself once there is
// room. Before each commit the free space is looked at: below the reserve nothing is written,
// because RocksDB itself needs room to flush and compact. Thread: commit, drop_day: the commit
// thread; reading and stats: any.
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include "collector/store/kv.h"
#include "collector/store/rocks_backup.h"
#include "collector/store/rocks_damage.h"
#include "collector/store/rocks_directory.h"
#include "collector/store/rocks_names.h"
#include "collector/store/rocks_open.h"
#include "collector/store/rocks_options.h"
#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kStatsEveryNanos = 1'000'000'000;

/// How a reader of the store reads.
struct ReadMode {
  const rocksdb::Snapshot* at = nullptr;  // as of then; nullptr: the newest
  bool fills_cache = true;

  [[nodiscard]] rocksdb::ReadOptions options() const {
    rocksdb::ReadOptions out;
    out.snapshot = at;
    out.fill_cache = fills_cache;
    return out;
  }
};

// ---------------------------------------------------------------- the store

using Handle = RocksHandle;

class RocksKv final : public Kv {
 public:
  explicit RocksKv(const KvOptions& options)
      : directory_(options.directory),
        max_days_(options.max_days),
        given_reserve_(options.reserve_bytes),
        budget_(make_budget(options.memory_bytes)),
        damage_(options.directory) {}

  ~RocksKv() override {
    if (must_resume_) {
      // Closing flushes the log that just failed, which RocksDB forbids by an assertion (Debian
      // builds with them). All that was acknowledged is in the log, so it is left open until the
      // process ends. If there is no memory for this, ending at once is as good.
      // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
      static auto* const abandoned = new std::vector<std::map<Family, Handle>>();
      abandoned->push_back(std::move(families_));
    }
    families_.clear();
  }

  Result<void> open() {
    if (auto ready = prepare_directory(directory_); !ready.ok()) return std::move(ready).error();
    set_reserve();
    if (auto room = check_room_to_open(); !room.ok()) return room;
    auto opened = open_rocks(directory_, budget_, listener_, damage_);
    if (!opened.ok()) return std::move(opened).error();
    db_ = std::move(opened->db);
    families_ = std::move(opened->families);
    return {};
  }

  // --- reading

  Result<std::string> get(Family family, std::string_view key) const override {
    return get_as({}, family, key);
  }
  Result<void> scan(Family family, std::string_view begin, std::string_view end,
                    const Visitor& visit, bool backwards) const override {
    return scan_as({}, family, begin, end, visit, backwards);
  }
  std::shared_ptr<const KvReader> snapshot() const override;
  std::shared_ptr<const KvReader> one_pass() const override;

  Result<std::string> get_as(const ReadMode& mode, Family family, std::string_view key) const {
    const Handle handle = find(family);
    if (!handle) return Error{Code::not_found, net::Side::self, false, ""};
    for (size_t attempt = 0;; ++attempt) {
      std::string value;
      const rocksdb::Status status = db_->Get(mode.options(), handle.get(), slice(key), &value);
      if (status.ok()) return value;
      if (status.IsNotFound()) return Error{Code::not_found, net::Side::self, false, ""};
      if (auto healed = after_fault(status, mode.at, attempt,
                                    "reading " + family_text(family) + " key " + hex(key));
          !healed.ok()) {
        return std::move(healed).error();
      }
    }
  }

  Result<void> scan_as(const ReadMode& mode, Family family, std::string_view begin,
                       std::string_view end, const Visitor& visit, bool backwards) const {
    const Handle handle = find(family);
    if (!handle) return {};
    std::string from(begin), to(end);
    for (size_t attempt = 0;; ++attempt) {
      if (!to.empty() && from >= to) return {};
      std::optional<std::string> last;
      const rocksdb::Status status = scan_once(mode, *handle, from, to, visit, backwards, last);
      if (status.ok()) return {};
      if (auto healed = after_fault(status, mode.at, attempt,
                                    "scanning " + family_text(family) + " from " + hex(begin));
          !healed.ok()) {
        return healed;
      }
      if (!last) continue;
      if (backwards) {
        to = *last;
      } else {
        from = *last + std::string(1, '\0');  // the next key there can be
      }
    }
  }

  /// `last`: the last key that was visited before a fault.
  rocksdb::Status scan_once(const ReadMode& mode, rocksdb::ColumnFamilyHandle& handle,
                            const std::string& begin, const std::string& end, const Visitor& visit,
                            bool backwards, std::optional<std::string>& last) const {
    rocksdb::ReadOptions options = mode.options();
    const rocksdb::Slice lower(begin), upper(end);
    if (!begin.empty()) options.iterate_lower_bound = &lower;
    if (!end.empty()) options.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, &handle));
    std::string visited;
    bool any = false;
    backwards ? it->SeekToLast() : it->Seek(lower);
    for (; it->Valid(); backwards ? it->Prev() : it->Next()) {
      visited.assign(it->key().data(), it->key().size());
      any = true;
      if (!visit(view(it->key()), view(it->value()))) return rocksdb::Status::OK();
    }
    if (any) last = std::move(visited);
    return it->status();
  }

  /// After a read that failed. OK: a damaged file was set aside, and reading on will do. A question
  /// on a snapshot must begin anew: what was written again is newer than it. The reader of a day
  /// that was dropped meanwhile meets the same fault at each `attempt`.
  Result<void> after_fault(const rocksdb::Status& status, const rocksdb::Snapshot* at,
                           size_t attempt, const std::string& what) const {
    const auto file = damaged_table_of(status);
    if (!file || attempt == RocksDamage::kMaxFiles) return error_of(status, what);
    if (auto set = set_table_aside(status, *file); !set.ok()) return set;
    if (at == nullptr) return {};
    Error error = error_of(status, what);
    error.detail += "; the file was set aside, ask again";
    error.may_retry = true;
    return error;
  }

  Result<void> set_table_aside(const rocksdb::Status& status, const std::string& file) const {
    return damage_.set_table_aside(
        *db_, [this](Family family) { return find(family); }, writing_, file, status.ToString());
  }

  std::vector<Family> days() const override {
    const std::shared_lock lock(families_mutex_);
    std::vector<Family> out;
    for (const auto& [family, handle] : families_) {
      if (family != Family::meta()) out.push_back(family);
    }
    return out;
  }

  // --- writing

  Result<void> commit(const std::function<void(KvWriter&)>& fill) override {
    if (failing()) {  // before anything is prepared for a disk that will refuse it
      if (auto room = check_room(0); !room.ok()) return room;
      if (auto resumed = resume_if_failed(); !resumed.ok()) return resumed;
    }
    if (listener_->any()) {
      for (const rocksdb::Status& fault : listener_->take()) {
        if (auto set = set_table_aside(fault, *damaged_table_of(fault)); !set.ok())
          net::log_error("a damaged file stays", {{"error", set.error().detail}});
      }
    }
    Writer writer(*this);
    fill(writer);
    if (writer.error) return failed(std::move(*writer.error));
    if (writer.batch.Count() == 0 && !failing()) return {};
    if (auto room = check_room(writer.batch.GetDataSize()); !room.ok()) return room;
    const uint64_t begin = net::monotonic_nanos();
    rocksdb::WriteOptions options;
    options.sync = true;
    const rocksdb::Status status = [&] {
      const std::lock_guard lock(writing_);
      return db_->Write(options, &writer.batch);
    }();
    if (!status.ok()) {
      must_resume_ = true;
      return failed(error_of(status, "data directory " + directory_));
    }
    last_commit_micros_.store((net::monotonic_nanos() - begin) / 1000, std::memory_order_relaxed);
    commits_.fetch_add(1, std::memory_order_relaxed);
    failing_.store(false, std::memory_order_relaxed);
    return {};
  }

  Result<void> drop_day(Family day) override {
    if (day == Family::meta())
      return Error{Code::unsupported, net::Side::self, false, "meta cannot be dropped"};
    const Handle handle = find(day);
    if (!handle) return {};
    const rocksdb::Status status = db_->DropColumnFamily(handle.get());
    if (!status.ok()) return error_of(status, "dropping " + family_name(day));
    const std::unique_lock lock(families_mutex_);
    families_.erase(day);
    return {};
  }

  Result<BackupReport> backup(const std::string& directory) override {
    return make_backup(*db_, directory);
  }

  std::vector<Damage> damage() const override { return damage_.list(); }

  bool failing() const noexcept override { return failing_.load(std::memory_order_relaxed); }

  KvStats stats() const override {
    KvStats out;
    out.commits = commits_.load(std::memory_order_relaxed);
    out.commit_failures = failures_.load(std::memory_order_relaxed);
    out.last_commit_micros = last_commit_micros_.load(std::memory_order_relaxed);
    out.failing = failing_.load(std::memory_order_relaxed);
    out.free_bytes = free_bytes();
    out.memtable_bytes = budget_.write_buffers->memory_usage();
    out.cache_bytes = budget_.cache->GetUsage();
    const std::lock_guard lock(stats_mutex_);
    const uint64_t now = net::monotonic_nanos();
    if (disk_bytes_at_ == 0 || now - disk_bytes_at_ > kStatsEveryNanos) {
      disk_bytes_ = directory_bytes();
      disk_bytes_at_ = now;
    }
    out.disk_bytes = disk_bytes_;
    return out;
  }

 private:
  struct Writer final : KvWriter {
    explicit Writer(RocksKv& owner) : kv(owner) {}
    void put(Family family, std::string_view key, std::string_view value) override {
      if (auto* handle = handle_of(family, true))
        check(batch.Put(handle, slice(key), slice(value)));
    }
    void remove(Family family, std::string_view key) override {
      if (auto* handle = handle_of(family, false)) check(batch.Delete(handle, slice(key)));
    }
    void remove_range(Family family, std::string_view begin, std::string_view end) override {
      if (is_trace_index_key(begin)) {  // RocksDB would crash (rocks_options.cc)
        return check(rocksdb::Status::InvalidArgument(
            "a range to be removed begins with a whole key of the trace index"));
      }
      if (auto* handle = handle_of(family, false))
        check(batch.DeleteRange(handle, slice(begin), slice(end)));
    }
    rocksdb::ColumnFamilyHandle* handle_of(Family family, bool create) {
      if (last && family == last_family) return last.get();
      if (error) return nullptr;
      Handle handle = kv.find(family);
      if (!handle) {
        if (!create) return nullptr;
        auto made = kv.create(family);
        if (!made.ok()) {
          error = made.error();
          return nullptr;
        }
        handle = made.value();
      }
      last = std::move(handle);
      last_family = family;
      return last.get();
    }
    void check(const rocksdb::Status& status) {
      if (!status.ok() && !error) error = error_of(status, "filling a write");
    }
    RocksKv& kv;
    rocksdb::WriteBatch batch;
    std::optional<Error> error;
    Handle last;
    Family last_family;
  };

  Handle find(Family family) const {
    const std::shared_lock lock(families_mutex_);
    const auto it = families_.find(family);
    return it == families_.end() ? nullptr : it->second;
  }

  Result<Handle> create(Family family) {
    {
      const std::shared_lock lock(families_mutex_);
      if (families_.size() > max_days_) {
        return Error{Code::too_large, net::Side::self, false,
                     "more than " + std::to_string(max_days_) + " days of data"};
      }
    }
    rocksdb::ColumnFamilyHandle* handle = nullptr;
    const rocksdb::Status status =
        db_->CreateColumnFamily(family_options(budget_), family_name(family), &handle);
    if (!status.ok()) {
      must_resume_ = true;
      return error_of(status, "making " + family_name(family));
    }
    Handle owned = own_handle(db_, handle);
    const std::unique_lock lock(families_mutex_);
    families_[family] = owned;
    return owned;
  }

  /// After a failed write RocksDB refuses all writes until told that the fault is gone. It gets
  /// over a full disk; after any other fault what the log holds is unknown (a failed sync may have
  /// lost it), and only recovering from it, by a restart, tells.
  Result<void> resume_if_failed() {
    if (!must_resume_) return {};
    const rocksdb::Status status = db_->Resume();
    if (status.ok()) {
      must_resume_ = false;
      return {};
    }
    Error error = error_of(status, "data directory " + directory_);
    if (error.code != Code::no_space) {
      error.may_retry = false;
      error.detail += "; only a restart can heal this";
    }
    return failed(std::move(error));
  }

  /// Free space for `bytes` more, besides the reserve.
  Result<void> check_room(uint64_t bytes) {
    const uint64_t free = free_bytes();
    if (free >= reserve_bytes_ && free - reserve_bytes_ >= bytes) return {};
    return failed({Code::no_space, net::Side::self, true,
                   "data directory " + directory_ + ": the disk is full (" + std::to_string(free) +
                       " bytes free, " + std::to_string(reserve_bytes_) +
                       " are kept for compaction)"});
  }

  /// Replaying the log writes; RocksDB answers a disk without any room by an assertion.
  Result<void> check_room_to_open() const {
    const uint64_t wanted = std::min<uint64_t>(reserve_bytes_, 8ULL * 1024 * 1024);
    const uint64_t free = free_bytes();
    if (free >= wanted) return {};
    return Error{Code::no_space, net::Side::self, true,
                 "data directory " + directory_ + ": the disk is full (" + std::to_string(free) +
                     " bytes free, starting needs " + std::to_string(wanted) +
                     "); nothing was changed, make room and start again"};
  }

  Error failed(Error error) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    failing_.store(true, std::memory_order_relaxed);
    return error;
  }

  uint64_t free_bytes() const {
    struct statvfs fs {};
    if (::statvfs(directory_.c_str(), &fs) != 0)
      return UINT64_MAX;  // unknown: let the write itself find out
    return static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  }

  /// Room to flush every memtable and to compact, but never more than a tenth of a small disk.
  void set_reserve() {
    if (given_reserve_) {
      reserve_bytes_ = *given_reserve_;
      return;
    }
    struct statvfs fs {};
    if (::statvfs(directory_.c_str(), &fs) != 0) return;
    const uint64_t total = static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize;
    reserve_bytes_ = std::min<uint64_t>(budget_.memtable_bytes + 64ULL * 1024 * 1024, total / 10);
  }

  uint64_t directory_bytes() const {
    uint64_t sum = 0;
    std::error_code fault;
    for (auto it = std::filesystem::directory_iterator(directory_, fault);
         !fault && it != std::filesystem::directory_iterator(); it.increment(fault)) {
      std::error_code gone;  // compaction removes files while we look
      const uint64_t size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
      if (!gone) sum += size;
    }
    return sum;
  }

  const std::string directory_;
  const uint32_t max_days_;
  const std::optional<uint64_t> given_reserve_;
  const Budget budget_;
  uint64_t reserve_bytes_ = 0;

  const std::shared_ptr<DamageListener> listener_ = std::make_shared<DamageListener>();
  mutable RocksDamage damage_;
  mutable std::mutex writing_;  // held by each write, so that what is written anew is the newest

  std::shared_ptr<rocksdb::DB> db_;  // each handle holds it, too
  mutable std::shared_mutex families_mutex_;
  std::map<Family, Handle> families_;  // families_mutex_

  bool must_resume_ = false;  // the commit thread's
  std::atomic<bool> failing_{false};
  std::atomic<uint64_t> commits_{0}, failures_{0}, last_commit_micros_{0};

  mutable std::mutex stats_mutex_;
  mutable uint64_t disk_bytes_ = 0, disk_bytes_at_ = 0;  // stats_mutex_
};

/// All families, read in one way.
class RocksReader : public KvReader {
 public:
  RocksReader(const RocksKv& kv, ReadMode mode) : kv_(kv), mode_(mode) {}

  Result<std::string> get(Family family, std::string_view key) const override {
    return kv_.get_as(mode_, family, key);
  }
  Result<void> scan(Family family, std::string_view begin, std::string_view end,
                    const Visitor& visit, bool backwards) const override {
    return kv_.scan_as(mode_, family, begin, end, visit, backwards);
  }
  std::vector<Family> days() const override { return kv_.days(); }

 private:
  const RocksKv& kv_;
  const ReadMode mode_;
};

/// As of one moment, which it holds on to.
class RocksSnapshot final : public RocksReader {
 public:
  RocksSnapshot(const RocksKv& kv, std::shared_ptr<rocksdb::DB> db, const rocksdb::Snapshot* at)
      : RocksReader(kv, {.at = at}), db_(std::move(db)), at_(at) {}
  ~RocksSnapshot() override { db_->ReleaseSnapshot(at_); }
  RocksSnapshot(const RocksSnapshot&) = delete;
  RocksSnapshot& operator=(const RocksSnapshot&) = delete;

 private:
  const std::shared_ptr<rocksdb::DB> db_;
  const rocksdb::Snapshot* const at_;
};

std::shared_ptr<const KvReader> RocksKv::snapshot() const {
  return std::make_shared<RocksSnapshot>(*this, db_, db_->GetSnapshot());
}

std::shared_ptr<const KvReader> RocksKv::one_pass() const {
  return std::make_shared<RocksReader>(*this, ReadMode{.fills_cache = false});
}

}  // namespace

Result<std::unique_ptr<Kv>> open_rocks_kv(const KvOptions& options) {
  auto kv = std::make_unique<RocksKv>(options);
  if (auto opened = kv->open(); !opened.ok()) return std::move(opened).error();
  return std::unique_ptr<Kv>(std::move(kv));
}

}  // namespace hms::collector

#if defined(__SANITIZE_THREAD__)
/// Debian's librocksdb is not instrumented: ThreadSanitizer sees its memory accesses through memcmp
/// and delete, but not the atomics that order them, and reports races inside it. Races in our own
/// code have no frame of that library. Nor is libzstd, whose contexts RocksDB hands from thread to
/// thread. Of a directory walk in libstdc++ it sees the descriptor's
/// close and not its opening, and takes its number for a socket's that had it before.
extern "C" const char* __tsan_default_suppressions() {
  return "race:librocksdb.so\ncalled_from_lib:libstdc++.so.6\ncalled_from_lib:libzstd.so\n";
}
#endif
