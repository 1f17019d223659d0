// ledger.h: per sender, what came, what was stored, what came again, what is missing and what it
// says it dropped.
//
// A sender is an (instance, boot) of `x-hms-batch`, or, for batches without an identity, the
// service they are from. Its record (counters and the SequenceSet that makes at-least-once into
// once) is one value under Table::batch_mark, written in the same atomic group as its batches, so
// both survive or neither. Counts of repeats alone are written within about a second.
// Limits: kMaxSenders (beyond: the one not heard for longest is forgotten); kMaxReasons of
// kMaxReasonBytes each; forgotten a day after the last batch. Thread: the commit thread; `rows`
// from any.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "collector/store/dedupe.h"
#include "collector/store/engine.h"
#include "net/core/time_units.h"

namespace hms::collector {

class Ledger {
 public:
  static constexpr size_t kMaxSenders = 20'000;
  static constexpr size_t kMaxReasons = 32;
  static constexpr size_t kMaxReasonBytes = 64;
  static constexpr uint64_t kForgetAfterNanos = net::kNanosPerDay;

  /// Reads all senders. Errors: corrupt, io.
  [[nodiscard]] net::Result<void> load(const KvReader& reader);

  /// A batch came: counted at once, whatever becomes of it.
  void received(const IngestUnit& unit, uint64_t records, uint64_t now);
  [[nodiscard]] bool is_stored(const BatchIdentity& identity) const;
  void repeated(const IngestUnit& unit, uint64_t records);

  /// Stored, once the group that is being made is durable. Then `commit` or `roll_back`.
  void stage(const IngestUnit& unit, uint64_t records);
  /// Writes what was staged, and what changed since it was last written.
  void write(KvWriter& writer) const;
  void commit();
  void roll_back();

  /// Removes senders not heard for a day. Adds the removals to the write.
  void forget(uint64_t now, KvWriter& writer);
  [[nodiscard]] bool dirty() const { return !changed_.empty() || !removed_.empty(); }

  [[nodiscard]] std::vector<SenderLedger> rows() const;

 private:
  struct Sender {
    SenderLedger row;
    SequenceSet stored;
  };
  Sender& sender_of(const IngestUnit& unit);
  void make_room();
  static std::string key_of(const IngestUnit& unit);
  static std::string key_of(const BatchIdentity& identity);
  static std::string encode(const Sender& sender);
  static bool decode(std::string_view key, std::string_view value, Sender& out);

  mutable std::mutex mutex_;  // writers are on the commit thread only; guards against `rows`
  std::map<std::string, Sender> senders_;  // by stored key
  std::map<std::string, Sender> staged_;
  std::set<std::string> changed_;  // counted since last written
  std::set<std::string> removed_;  // forgotten for want of room, not yet removed from disk
};

}  // namespace hms::collector
