// kv.h: ordered keys and values in families, written in atomic groups: all that the stores above
// know of the disk.
//
// A family is a UTC day (its records die together: dropping a day is one operation) or `meta` (what
// outlives days: marks of stored batches, catalogues, alert state, canary records). Keys are
// ordered bytewise; each store begins its keys with its own table byte (keys.h). Only rocks_*.cc
// know RocksDB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/backup.h"
#include "net/core/result.h"
#include "net/core/time_units.h"

namespace hms::collector {

/// A UTC day (days since 1970-01-01), or meta.
struct Family {
  static constexpr uint32_t kMeta = 0xFFFFFFFF;
  uint32_t day = kMeta;
  [[nodiscard]] static Family meta() noexcept { return {}; }
  [[nodiscard]] static Family of_unix_nanos(uint64_t t) noexcept {
    return {static_cast<uint32_t>(t / net::kNanosPerDay)};
  }
  auto operator<=>(const Family&) const = default;
};

/// Collects writes of one atomic group. Not kept beyond the call it is handed to. Thread: the
/// commit thread.
class KvWriter {
 public:
  virtual void put(Family family, std::string_view key, std::string_view value) = 0;
  virtual void remove(Family family, std::string_view key) = 0;
  /// All keys in [begin, end): one record, whatever their number.
  virtual void remove_range(Family family, std::string_view begin, std::string_view end) = 0;

 protected:
  ~KvWriter() = default;
};

/// Reads what is committed. Thread: any, many at once.
class KvReader {
 public:
  virtual ~KvReader() = default;
  /// Errors: not_found; corrupt (with family and key in the detail; when it says that the file was
  /// set aside, asking again is answered by the rest); io.
  [[nodiscard]] virtual net::Result<std::string> get(Family family, std::string_view key) const = 0;
  /// Visits keys in [begin, end) in rising order (falling if `backwards`) until the visitor returns
  /// false. `end` empty: to the last. Views live for the call.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;
  [[nodiscard]] virtual net::Result<void> scan(Family family, std::string_view begin,
                                               std::string_view end, const Visitor& visit,
                                               bool backwards = false) const = 0;
  /// The day families there are, rising; never meta.
  [[nodiscard]] virtual std::vector<Family> days() const = 0;
  /// What is committed now, for a question that reads more than once: later commits do not show in
  /// it. Lives no longer than this reader; keep it for one question only. The default reads on from
  /// the newest, for stores that nobody writes meanwhile.
  [[nodiscard]] virtual std::shared_ptr<const KvReader> snapshot() const {
    return {std::shared_ptr<void>(), this};
  }
  /// Reads the newest without leaving what it read in the cache: for work that goes over a whole
  /// day once, and would fill the cache with what nobody asks for and push out what is asked for.
  /// Lives no longer than this reader.
  [[nodiscard]] virtual std::shared_ptr<const KvReader> one_pass() const {
    return {std::shared_ptr<void>(), this};
  }
};

/// A file that could not be read (a wrong checksum, cut, gone) and was taken out of use.
struct Damage {
  std::string file;  // its name in the data directory; it is kept in DIR/set-aside
  Family family;     // whose records were in it; of a log: meta (records of its last minutes)
  uint64_t bytes = 0;
  uint64_t records_kept = 0;  // keys that could still be read, and are served on
  uint64_t unix_seconds = 0;  // when
  std::string reason;
};

struct KvStats {
  uint64_t disk_bytes = 0, free_bytes = 0, commits = 0, commit_failures = 0, last_commit_micros = 0;
  uint64_t memtable_bytes = 0, cache_bytes = 0;
  bool failing = false;  // the last commit failed; false again after one that did not
};

/// The whole store: reading, and one commit at a time.
class Kv : public KvReader {
 public:
  /// Writes what `fill` puts as one atomic group and returns after the write-ahead log is synced.
  /// Creates day families as needed. Errors: no_space, io (not `may_retry`: nothing can be written
  /// until a restart), corrupt. On an error nothing of the group is visible. Thread: one at a time
  /// (the commit thread).
  [[nodiscard]] virtual net::Result<void> commit(const std::function<void(KvWriter&)>& fill) = 0;
  /// Drops a day and all it held. Thread: the commit thread.
  [[nodiscard]] virtual net::Result<void> drop_day(Family day) = 0;
  /// Adds a backup of what is committed now to that directory. Thread: any; writes go on meanwhile.
  [[nodiscard]] virtual net::Result<BackupReport> backup(const std::string& /*directory*/) {
    return net::Error{net::Code::unsupported, net::Side::self, false, "this store has no backups"};
  }
  [[nodiscard]] virtual KvStats stats() const = 0;
  /// What was set aside since the directory DIR/set-aside was last emptied. Answers that touch
  /// those days may lack records. Thread: any.
  [[nodiscard]] virtual std::vector<Damage> damage() const { return {}; }
  /// KvStats::failing alone, without its cost. A commit that writes nothing still looks at the disk
  /// while this is true.
  [[nodiscard]] virtual bool failing() const noexcept = 0;
};

struct KvOptions {
  std::string directory;
  uint64_t memory_bytes = 256ULL * 1024 * 1024;  // block cache and memtables together
  uint32_t max_days = 500;  // day families at a time; a write that needs one more is refused
                            // (retention is at most 400)
  std::optional<uint64_t> reserve_bytes;  // free space below which nothing is written; default by
                                          // the disk's size (at most a tenth)
};
/// Opens or makes the database. Errors: bad_config ("no such directory", "another process holds the
/// lock ..."), io, corrupt.
[[nodiscard]] net::Result<std::unique_ptr<Kv>> open_rocks_kv(const KvOptions& options);

}  // namespace hms::collector
