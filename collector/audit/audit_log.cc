#include "collector/audit/audit_log.h"

#include <algorithm>
#include <utility>

#include "collector/store/keys.h"
#include "net/core/log.h"
#include "net/core/random.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr uint64_t kLookEveryNanos = 60'000'000'000ULL;
constexpr size_t kKeyBytes = 1 + 8 + 8;  // table, time, what tells records of one moment apart

std::string key_at(uint64_t time, uint64_t number) {
  std::string key = table_key(Table::audit);
  append_be64(key, time);
  append_be64(key, number);
  return key;
}

std::string table_end() {
  return std::string(1, static_cast<char>(static_cast<uint8_t>(Table::audit) + 1));
}

/// Two records of one nanosecond, and those of an earlier run under a clock that was set back, stay
/// apart: nothing is ever written over.
std::string fresh_key(uint64_t time) { return key_at(time, net::random_u64()); }

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4U]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15U]);
  }
  return out;
}

/// The key that a cursor names; empty if it is none.
std::string key_of_cursor(std::string_view text) {
  if (text.size() != 32) return {};
  std::string key = table_key(Table::audit);
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    for (const char c : text.substr(i, 2)) {
      if (c >= '0' && c <= '9')
        byte = byte * 16 + static_cast<unsigned>(c - '0');
      else if (c >= 'a' && c <= 'f')
        byte = byte * 16 + static_cast<unsigned>(c - 'a' + 10);
      else
        return {};
    }
    key.push_back(static_cast<char>(byte));
  }
  return key;
}

/// "10.1.2.3:51324" is asked for by either form.
bool is_peer(const std::string& peer, const std::string& who) {
  const size_t colon = peer.rfind(':');
  return peer == who || (colon != std::string::npos && peer.substr(0, colon) == who);
}

}  // namespace

AuditLog::AuditLog(AuditSettings settings) : settings_(std::move(settings)) {}

std::pair<std::string, std::string> AuditLog::encode(AuditRecord record) {
  std::string key = fresh_key(record.time_unix_nanos);
  record.id = hex(std::string_view(key).substr(1));
  std::string value = encode_audit_record(record);
  return {std::move(key), std::move(value)};
}

// ---------------------------------------------------------------- writing

void AuditLog::add(const AuditRecord& record, Done done) {
  auto [key, value] = encode(record);
  bool ask = false;
  {
    const std::lock_guard lock(mutex_);
    if (engine_ != nullptr && waiting_.size() < kMaxWaiting) {
      waiting_.push_back({std::move(key), std::move(value), std::move(done)});
      ask = !std::exchange(asked_, true);
      done = nullptr;
    }
  }
  if (done) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    done(Error{Code::overloaded, net::Side::self, true, "too many audit records wait"});
    return;
  }
  if (!ask) return;
  // One write takes all that wait when its turn comes; if it is refused before that, all the same.
  auto group = std::make_shared<std::vector<Waiting>>();
  engine_->write(
      [this, group](KvWriter& writer) {
        *group = take();
        for (const Waiting& one : *group) writer.put(Family::meta(), one.key, one.value);
      },
      [this, group](const Result<void>& outcome) {
        if (group->empty()) *group = take();
        answer(*group, outcome);
      });
}

std::vector<AuditLog::Waiting> AuditLog::take() {
  const std::lock_guard lock(mutex_);
  asked_ = false;
  return std::exchange(waiting_, {});
}

void AuditLog::answer(std::vector<Waiting>& group, const Result<void>& outcome) {
  (outcome.ok() ? recorded_ : refused_).fetch_add(group.size(), std::memory_order_relaxed);
  for (Waiting& one : group) one.done(outcome.ok() ? Result<void>() : outcome.error());
}

// ---------------------------------------------------------------- age

Result<void> AuditLog::recover(const KvReader& reader) {
  reader_ = &reader;
  return {};
}

void AuditLog::maintain(uint64_t now, KvWriter& writer) {
  const uint64_t kept = settings_.keep_days * net::kNanosPerDay;
  if (reader_ == nullptr || now < next_look_ || now <= kept) return;
  size_t removed = 0;
  const auto scanned = reader_->scan(Family::meta(), table_key(Table::audit), key_at(now - kept, 0),
                                     [&](std::string_view key, std::string_view) {
                                       writer.remove(Family::meta(), key);
                                       return ++removed < kRemovedAtOnce;
                                     });
  if (!scanned.ok())
    net::log_warn("old audit records could not be looked for", {{"error", scanned.error().detail}});
  removed_.fetch_add(removed, std::memory_order_relaxed);
  // The removals may still wait for the disk: what is looked at now would be the same ones.
  next_look_ = removed < kRemovedAtOnce ? now + kLookEveryNanos : now + 1;
}

// ---------------------------------------------------------------- reading

bool AuditLog::fits(const AuditRecord& record, const AuditQuery& query) {
  if (record.time_unix_nanos < query.start_unix_nanos ||
      record.time_unix_nanos > query.end_unix_nanos)
    return false;
  if (!query.service.empty() && !record.services.contains(query.service)) return false;
  return query.who.empty() || is_peer(record.peer, query.who) || record.tls_name == query.who ||
         record.identity == query.who;
}

Result<AuditPage> AuditLog::search(const KvReader& reader, const AuditQuery& query) {
  std::string end =
      query.end_unix_nanos == UINT64_MAX ? table_end() : key_at(query.end_unix_nanos + 1, 0);
  if (!query.cursor.empty()) {
    const std::string at = key_of_cursor(query.cursor);
    if (at.empty())
      return Error{Code::bad_message, net::Side::downstream, false,
                   "parameter \"cursor\": is not one that was given"};
    end = std::min(end, at);
  }
  AuditPage page;
  std::string last;
  size_t looked = 0;
  bool more = false;
  Result<void> fault;
  auto scanned = reader.scan(
      Family::meta(), key_at(query.start_unix_nanos, 0), end,
      [&](std::string_view key, std::string_view value) {
        if (page.records.size() >= query.limit || looked >= kMaxLooked) {
          more = true;
          return false;
        }
        if (key.size() != kKeyBytes) return true;
        ++looked;
        last = std::string(key.substr(1));
        auto record = decode_audit_record(value);
        if (!record.ok()) {
          fault = std::move(record).error();
          return false;
        }
        if (fits(record.value(), query)) page.records.push_back(std::move(record).value());
        return true;
      },
      true);
  if (!fault.ok()) return std::move(fault).error();
  if (!scanned.ok()) return std::move(scanned).error();
  if (more) page.cursor = hex(last);
  return page;
}

void AuditLog::write_metrics(telemetry::PromWriter& writer) const {
  const auto number = [](const std::atomic<uint64_t>& value) {
    return static_cast<double>(value.load(std::memory_order_relaxed));
  };
  writer.gauge("hms_collector_audit_on", "1 while questions for marked services are recorded.", {},
               settings_.on() ? 1 : 0);
  writer.counter("hms_collector_audit_records_total", "Audit records stored since start.", {},
                 number(recorded_));
  writer.counter("hms_collector_audit_refused_total",
                 "Questions refused because their audit record could not be stored.", {},
                 number(refused_));
  writer.counter("hms_collector_audit_removed_total", "Audit records past their time.", {},
                 number(removed_));
}

}  // namespace hms::collector
