#include "collector/store/ledger.h"

#include <algorithm>
#include <utility>

#include "collector/store/keys.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint8_t kVersion = 1;
constexpr size_t kMaxServiceBytes = 256;

// ---------------------------------------------------------------- varints and texts of the stored
// value (docs/storage-format.md)

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out.append(text);
}

/// Reads until something does not fit; then `ok` is false and everything reads as zero.
struct Cursor {
  std::string_view rest;
  bool ok = true;

  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest.empty()) break;
      const auto byte = static_cast<uint8_t>(rest.front());
      rest.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok = false;
    return 0;
  }
  std::string text() {
    const uint64_t size = varint();
    if (!ok || size > rest.size()) {
      ok = false;
      return {};
    }
    std::string out(rest.substr(0, size));
    rest.remove_prefix(size);
    return out;
  }
};

std::string_view cut(std::string_view text, size_t most) {
  return text.substr(0, std::min(text.size(), most));
}

}  // namespace

// ---------------------------------------------------------------- keys and values

std::string Ledger::key_of(const BatchIdentity& identity) {
  std::string key = table_key(Table::batch_mark);
  key += identity.instance;
  key.push_back('\0');
  append_be64(key, identity.boot);
  return key;
}

std::string Ledger::key_of(const IngestUnit& unit) {
  if (unit.identity) return key_of(*unit.identity);
  std::string key = key_of(BatchIdentity{});
  key += cut(unit.service, kMaxServiceBytes);
  return key;
}

std::string Ledger::encode(const Sender& sender) {
  const SenderLedger& row = sender.row;
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  put_text(out, row.service);
  put_varint(out, row.last_seen_unix_nanos);
  for (const uint64_t counter : {row.batches_received, row.batches_stored, row.batches_repeated,
                                 row.records_received, row.records_stored, row.records_repeated}) {
    put_varint(out, counter);
  }
  put_varint(out, row.dropped.size());
  for (const auto& [reason, count] : row.dropped) {
    put_text(out, reason);
    put_varint(out, count);
  }
  put_varint(out, sender.stored.given_up());
  put_varint(out, sender.stored.intervals().size());
  for (const auto& [begin, end] : sender.stored.intervals()) {
    put_varint(out, begin);
    put_varint(out, end - begin);
  }
  return out;
}

bool Ledger::decode(std::string_view key, std::string_view value, Sender& out) {
  key.remove_prefix(1);
  const size_t end = key.find('\0');
  if (end == std::string_view::npos || key.size() < end + 9) return false;
  out.row.instance = std::string(key.substr(0, end));
  out.row.boot = read_be64(key.substr(end + 1, 8));
  if (value.empty() || static_cast<uint8_t>(value.front()) != kVersion) return false;
  Cursor in{value.substr(1)};
  out.row.service = in.text();
  out.row.last_seen_unix_nanos = in.varint();
  for (uint64_t* counter :
       {&out.row.batches_received, &out.row.batches_stored, &out.row.batches_repeated,
        &out.row.records_received, &out.row.records_stored, &out.row.records_repeated}) {
    *counter = in.varint();
  }
  const uint64_t reasons = in.varint();
  for (uint64_t i = 0; in.ok && i < reasons; ++i) {
    std::string reason = in.text();
    out.row.dropped[std::move(reason)] = in.varint();
  }
  const uint64_t given_up = in.varint();
  const uint64_t runs = in.varint();
  std::map<uint64_t, uint64_t> intervals;
  for (uint64_t i = 0; in.ok && i < runs; ++i) {
    const uint64_t begin = in.varint();
    const uint64_t length = in.varint();
    if (length > UINT64_MAX - begin) return false;
    intervals[begin] = begin + length;
  }
  return in.ok && in.rest.empty() && out.stored.restore(std::move(intervals), given_up);
}

// ---------------------------------------------------------------- the book

Result<void> Ledger::load(const KvReader& reader) {
  const std::string begin = table_key(Table::batch_mark);
  std::string end = begin;
  ++end.back();
  std::string bad_key;
  auto scanned =
      reader.scan(Family::meta(), begin, end, [&](std::string_view key, std::string_view value) {
        Sender sender;
        if (!decode(key, value, sender)) {
          bad_key = std::string(key.substr(1));
          return false;
        }
        senders_.emplace(std::string(key), std::move(sender));
        return true;
      });
  if (!scanned.ok()) return scanned;
  if (!bad_key.empty()) {
    return Error{Code::corrupt, net::Side::self, false,
                 "the record of sender '" + bad_key + "' cannot be read"};
  }
  return {};
}

Ledger::Sender& Ledger::sender_of(const IngestUnit& unit) {
  const std::string key = key_of(unit);
  auto it = senders_.find(key);
  if (it == senders_.end()) {
    if (senders_.size() >= kMaxSenders) make_room();
    it = senders_.emplace(key, Sender{}).first;
    if (unit.identity) {
      it->second.row.instance = unit.identity->instance;
      it->second.row.boot = unit.identity->boot;
    }
    removed_.erase(key);
  }
  changed_.insert(key);
  return it->second;
}

void Ledger::make_room() {
  // Rare, so a plain search: the sender not heard for longest, and never one with a batch in the
  // group being made.
  auto oldest = senders_.end();
  for (auto it = senders_.begin(); it != senders_.end(); ++it) {
    if (staged_.contains(it->first)) continue;
    if (oldest == senders_.end() ||
        it->second.row.last_seen_unix_nanos < oldest->second.row.last_seen_unix_nanos)
      oldest = it;
  }
  if (oldest == senders_.end()) return;
  changed_.erase(oldest->first);
  removed_.insert(oldest->first);
  senders_.erase(oldest);
}

void Ledger::received(const IngestUnit& unit, uint64_t records, uint64_t now) {
  const std::lock_guard lock(mutex_);
  SenderLedger& row = sender_of(unit).row;
  if (!unit.service.empty()) row.service = std::string(cut(unit.service, kMaxServiceBytes));
  row.last_seen_unix_nanos = std::max(row.last_seen_unix_nanos, now);
  ++row.batches_received;
  row.records_received += records;
  for (const auto& [reason, count] : unit.reported_dropped) {
    const std::string name(cut(reason, kMaxReasonBytes));
    if (row.dropped.size() >= kMaxReasons && !row.dropped.contains(name)) continue;
    uint64_t& known = row.dropped[name];
    known = std::max(known, count);  // counted since boot; an older batch may come later
  }
}

bool Ledger::is_stored(const BatchIdentity& identity) const {
  const auto it = senders_.find(key_of(identity));
  return it != senders_.end() && it->second.stored.contains(identity.sequence);
}

void Ledger::repeated(const IngestUnit& unit, uint64_t records) {
  const std::lock_guard lock(mutex_);
  SenderLedger& row = sender_of(unit).row;
  ++row.batches_repeated;
  row.records_repeated += records;
}

void Ledger::stage(const IngestUnit& unit, uint64_t records) {
  const std::string key = key_of(unit);
  auto it = staged_.find(key);
  if (it == staged_.end()) it = staged_.emplace(key, Sender{{}, senders_.at(key).stored}).first;
  ++it->second.row
        .batches_stored;  // what this group adds; the rest of the row may change meanwhile
  it->second.row.records_stored += records;
  if (unit.identity) it->second.stored.insert(unit.identity->sequence);
}

void Ledger::write(KvWriter& writer) const {
  for (const auto& key : removed_) writer.remove(Family::meta(), key);
  for (const auto& key : changed_) {
    if (const auto it = senders_.find(key); it != senders_.end() && !staged_.contains(key)) {
      writer.put(Family::meta(), key, encode(it->second));
    }
  }
  for (const auto& [key, added] : staged_) {
    Sender merged{senders_.at(key).row, added.stored};
    merged.row.batches_stored += added.row.batches_stored;
    merged.row.records_stored += added.row.records_stored;
    writer.put(Family::meta(), key, encode(merged));
  }
}

void Ledger::commit() {
  const std::lock_guard lock(mutex_);
  for (auto& [key, added] : staged_) {
    Sender& sender = senders_.at(key);
    sender.row.batches_stored += added.row.batches_stored;
    sender.row.records_stored += added.row.records_stored;
    sender.stored = std::move(added.stored);
  }
  staged_.clear();
  changed_.clear();
  removed_.clear();
}

void Ledger::roll_back() { staged_.clear(); }

void Ledger::forget(uint64_t now, KvWriter& writer) {
  const std::lock_guard lock(mutex_);
  for (auto it = senders_.begin(); it != senders_.end();) {
    if (it->second.row.last_seen_unix_nanos + kForgetAfterNanos < now) {
      writer.remove(Family::meta(), it->first);
      changed_.erase(it->first);
      it = senders_.erase(it);
    } else {
      ++it;
    }
  }
}

std::vector<SenderLedger> Ledger::rows() const {
  const std::lock_guard lock(mutex_);
  std::vector<SenderLedger> out;
  out.reserve(senders_.size());
  for (const auto& [key, sender] : senders_) {
    SenderLedger row = sender.row;
    row.batches_missing = sender.stored.missing();
    row.last_sequence = sender.stored.highest();
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace hms::collector
