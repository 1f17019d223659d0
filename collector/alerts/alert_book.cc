// alert_book.cc: records in memory, JSON in the store.
#include "collector/alerts/alert_book.h"

#include <nlohmann/json.hpp>

#include "net/core/log.h"

namespace hms::collector {
namespace {

using nlohmann::json;

bool flag(const json& from, const char* key) {
  const auto at = from.find(key);
  return at != from.end() && at->is_boolean() && at->get<bool>();
}

json record_json(const AlertRecord& record) {
  json out = to_json(record.alert);
  json told = json::object();
  for (const auto& [name, state] : record.told) {
    told[name] = {{"attempted", state.attempted},
                  {"firing", state.firing},
                  {"resolved", state.resolved},
                  {"at", state.at}};
  }
  out["told"] = std::move(told);
  return out;
}

void read_told(const json& from, AlertRecord& record) {
  const auto told = from.find("told");
  if (told == from.end() || !told->is_object()) return;
  for (const auto& [name, state] : told->items()) {
    if (!state.is_object()) continue;
    Told& entry = record.told[name];
    entry.attempted = flag(state, "attempted");
    entry.firing = flag(state, "firing");
    entry.resolved = flag(state, "resolved");
    if (const auto at = state.find("at"); at != state.end() && at->is_number_integer())
      entry.at = at->get<int64_t>();
  }
}

}  // namespace

AlertBook::AlertBook(std::unique_ptr<DurableTable> table) : table_(std::move(table)) {
  auto stored = table_->load();
  if (!stored) {
    net::log_error("alerts could not be read", {{"error", net::to_string(stored.error())}});
    return;
  }
  for (const auto& [key, text] : *stored) {
    const json entry = json::parse(text, nullptr, false);
    auto alert = alert_from_json(entry);
    if (!alert) {
      net::log_error("a stored alert could not be read",
                     {{"key", key}, {"error", alert.error().detail}});
      continue;
    }
    AlertRecord record;
    record.alert = std::move(alert).value();
    record.durable = true;
    read_told(entry, record);
    records_[key] = std::move(record);
  }
}

bool AlertBook::set(const Alert& alert) {
  const std::string key = fingerprint(alert.labels);
  auto at = records_.find(key);
  if (at == records_.end()) {
    if (records_.size() >= kMaxRecords) {
      ++refused_;
      return false;
    }
    at = records_.emplace(key, AlertRecord{}).first;
  }
  AlertRecord& record = at->second;
  if (alert.resolved_at == 0) {
    // Who was told of the end before hears of this as a new incident; who was not, goes on with the
    // old one.
    for (auto& [name, told] : record.told) {
      if (told.resolved) told = Told{.in_flight = told.in_flight};
    }
  }
  record.alert = alert;
  store(key, record, true);
  return true;
}

void AlertBook::store(const std::string& key, AlertRecord& record, bool wait) {
  const std::string text = record_json(record).dump(-1, ' ', false, json::error_handler_t::replace);
  if (!wait) {
    table_->put(key, text);
    return;
  }
  record.durable = false;
  const uint64_t version = record.version = next_version_++;
  table_->put(key, text, [this, key, version](net::Result<void> result) {
    // A full disk must not keep the page back.
    if (!result)
      net::log_error("an alert could not be stored",
                     {{"key", key}, {"error", net::to_string(result.error())}});
    const auto at = records_.find(key);
    if (at == records_.end() || at->second.version != version) return;
    at->second.durable = true;
    if (on_durable_) on_durable_();
  });
}

void AlertBook::store_told(const std::string& key) {
  const auto at = records_.find(key);
  if (at != records_.end()) store(key, at->second, false);
}

void AlertBook::remove(const std::string& key) {
  if (records_.erase(key) != 0) table_->remove(key);
}

}  // namespace hms::collector
