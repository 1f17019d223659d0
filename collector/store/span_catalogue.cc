#include "collector/store/span_catalogue.h"

#include <algorithm>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"
#include "collector/store/span_index.h"

namespace hms::collector {
namespace {

std::string catalogue_key(std::string_view service, std::string_view operation, uint8_t kind) {
  std::string key = table_key(Table::catalogue);
  key.append(service).push_back('\0');
  key.append(operation).push_back('\0');
  append_u8(key, kind);
  return key;
}

/// Of where texts are and of `more`; two of 2^64 are never taken for each other.
uint64_t hash_of_places(std::string_view first, std::string_view second, uint64_t more) noexcept {
  uint64_t hash = more;
  for (const std::string_view text : {first, second}) {
    hash = (hash ^ reinterpret_cast<uintptr_t>(text.data())) * 0x9E3779B97F4A7C15ULL;
    hash = (hash ^ (hash >> 32) ^ text.size()) * 0xBF58476D1CE4E5B9ULL;
  }
  return hash ^ (hash >> 29);
}

}  // namespace

std::string_view span_kind_name(telemetry::SpanKind kind) noexcept {
  switch (kind) {
    case telemetry::SpanKind::unspecified:
      return "unspecified";
    case telemetry::SpanKind::internal:
      return "internal";
    case telemetry::SpanKind::server:
      return "server";
    case telemetry::SpanKind::client:
      return "client";
    case telemetry::SpanKind::producer:
      return "producer";
    case telemetry::SpanKind::consumer:
      return "consumer";
  }
  return "unspecified";
}

net::Result<void> SpanCatalogue::recover(const KvReader& reader) {
  const std::lock_guard lock(mutex_);
  const std::string begin = table_key(Table::catalogue);
  return reader.scan(
      Family::meta(), begin, prefix_end(begin),
      [this](std::string_view key, std::string_view value) {
        const size_t service_end = key.find('\0', 1);
        const size_t operation_end =
            service_end == key.npos ? key.npos : key.find('\0', service_end + 1);
        if (operation_end == key.npos || operation_end + 2 != key.size() || value.size() != 4)
          return true;
        Operation operation(key.substr(service_end + 1, operation_end - service_end - 1),
                            static_cast<uint8_t>(key.back()));
        services_[std::string(key.substr(1, service_end - 1))][std::move(operation)] =
            read_be32(value);
        return true;
      });
}

void SpanCatalogue::add(std::string_view service, std::string_view operation,
                        telemetry::SpanKind kind, uint32_t day, KvWriter& writer) {
  const uint64_t now = hash_of_places(
      service, operation, group_ << 24 | uint64_t{day} << 3 | static_cast<uint64_t>(kind));
  uint64_t& met = met_[now % met_.size()];
  if (met == now) return;
  met = now;
  const uint64_t hash = TextHash()(operation) * 0x9E3779B97F4A7C15ULL + TextHash()(service) * 7 +
                        static_cast<uint64_t>(kind);
  Added& last = lately_[(hash >> 20) % lately_.size()];
  if (last.hash == hash && last.day >= day && hash != 0) return;
  last = {hash, day};
  const std::lock_guard lock(mutex_);
  auto found = services_.find(service);
  if (found == services_.end()) {
    if (services_.size() >= kMaxServices) {
      ++not_listed_;
      return;
    }
    found = services_.try_emplace(std::string(service)).first;
  }
  const auto kind_byte = static_cast<uint8_t>(kind);
  const Operation wanted(operation, kind_byte);
  const auto it = found->second.find(wanted);
  if (it != found->second.end() && it->second >= day) return;
  if (it == found->second.end() && found->second.size() >= kMaxOperations) {
    ++not_listed_;
    return;
  }
  found->second[wanted] = day;
  std::string value;
  append_be32(value, day);
  writer.put(Family::meta(), catalogue_key(service, operation, kind_byte), value);
}

void SpanCatalogue::forget_before(uint32_t day, KvWriter& writer) {
  std::fill(lately_.begin(), lately_.end(), Added{});
  begin_group();
  const std::lock_guard lock(mutex_);
  for (auto service = services_.begin(); service != services_.end();) {
    for (auto it = service->second.begin(); it != service->second.end();) {
      if (it->second >= day) {
        ++it;
        continue;
      }
      writer.remove(Family::meta(),
                    catalogue_key(service->first, it->first.first, it->first.second));
      it = service->second.erase(it);
    }
    service = service->second.empty() ? services_.erase(service) : std::next(service);
  }
}

std::vector<std::string> SpanCatalogue::services() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  names.reserve(services_.size());
  for (const auto& [name, operations] : services_) names.push_back(name);
  return names;
}

std::vector<std::pair<std::string, std::string>> SpanCatalogue::operations(
    const std::string& service) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> operations;
  const auto found = services_.find(service);
  if (found == services_.end()) return operations;
  for (const auto& [operation, day] : found->second) {
    operations.emplace_back(operation.first,
                            span_kind_name(static_cast<telemetry::SpanKind>(operation.second)));
  }
  return operations;
}

uint64_t SpanCatalogue::not_listed() const {
  const std::lock_guard lock(mutex_);
  return not_listed_;
}

}  // namespace hms::collector
