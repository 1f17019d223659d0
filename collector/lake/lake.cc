#include "collector/lake/lake.h"

#include <algorithm>

#include "collector/lake/verify.h"
#include "net/core/clock.h"

namespace hms::collector {

using net::Code;
using net::Error;
using net::Result;

void Lake::publish(uint32_t day, ManifestPtr manifest) {
  const std::lock_guard lock(mutex_);
  days_[day] = std::move(manifest);
}

std::vector<uint32_t> Lake::days() const {
  const std::lock_guard lock(mutex_);
  std::vector<uint32_t> out;
  for (const auto& [day, manifest] : days_) out.push_back(day);
  return out;
}

bool Lake::empty() const {
  const std::lock_guard lock(mutex_);
  return days_.empty();
}

Result<ManifestPtr> Lake::manifest(uint32_t day) const {
  {
    const std::lock_guard lock(mutex_);
    const auto known = days_.find(day);
    if (known == days_.end())
      return Error{Code::not_found, net::Side::self, false,
                   "day " + day_text(day) + " is not in the lake"};
    if (known->second) return known->second;
    if (net::monotonic_nanos() / 1'000'000 < away_until_millis_)
      return Error{Code::unavailable, net::Side::upstream, true,
                   "the lake was not reachable a moment ago"};
  }
  auto bytes = read_object(*destination_, manifest_name(day), kMaxManifestBytes);
  if (!bytes.ok()) {
    if (bytes.error().code == Code::unavailable) {
      const std::lock_guard lock(mutex_);
      away_until_millis_ = net::monotonic_nanos() / 1'000'000 + kRetryMillis;
    }
    return std::move(bytes).error();
  }
  auto decoded = decode_manifest(bytes.value());
  if (!decoded.ok()) return std::move(decoded).error();
  if (decoded->day != day)
    return Error{Code::corrupt, net::Side::upstream, false,
                 "the manifest of day " + day_text(day) + " is one of " + day_text(decoded->day)};
  ManifestPtr out = std::make_shared<const LakeManifest>(std::move(decoded).value());
  const std::lock_guard lock(mutex_);
  days_[day] = out;
  return out;
}

Result<ParquetPtr> Lake::table_file(const LakeObject& object, LakeTable table) const {
  return open(object, &table_spec(table));
}
Result<ParquetPtr> Lake::index_file(const LakeObject& object) const {
  return open(object, nullptr);
}

Result<ParquetPtr> Lake::open(const LakeObject& object, const TableSpec* spec) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = open_by_name_.find(object.name); known != open_by_name_.end()) {
      open_.splice(open_.begin(), open_, known->second);
      return known->second->file;
    }
  }
  auto file = destination_->open(object.name);
  if (!file.ok()) return std::move(file).error();
  if (file.value()->size() != object.bytes)
    return Error{Code::corrupt, net::Side::upstream, false,
                 object.name + " has " + std::to_string(file.value()->size()) +
                     " bytes, the manifest says " + std::to_string(object.bytes)};
  std::shared_ptr<const LakeFile> bytes = std::move(file).value();
  if (cache_ && destination_->remote()) bytes = cached_file(std::move(bytes), object.name, cache_);
  auto parquet = ParquetFile::open(std::move(bytes));
  if (!parquet.ok()) return std::move(parquet).error();
  if (spec != nullptr) {
    if (auto columns = check_columns(parquet.value()->meta(), *spec); !columns.ok())
      return std::move(columns).error();
  }
  ParquetPtr out = std::move(parquet).value();
  const std::lock_guard lock(mutex_);
  if (open_by_name_.contains(object.name)) return out;  // another question was quicker
  open_.push_front({object.name, out});
  open_by_name_[object.name] = open_.begin();
  if (open_.size() > kMaxOpenFiles) {
    open_by_name_.erase(open_.back().name);
    open_.pop_back();
  }
  return out;
}

void LakeWarnings::add(uint32_t day, const Error& error) {
  add("day " + day_text(day) + " is in the lake and missing here: " + net::to_string(error));
}

void LakeWarnings::add(std::string sentence) {
  if (sentences_.size() >= kMax ||
      std::find(sentences_.begin(), sentences_.end(), sentence) != sentences_.end())
    return;
  sentences_.push_back(std::move(sentence));
}

}  // namespace hms::collector
