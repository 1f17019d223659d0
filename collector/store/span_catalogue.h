// span_catalogue.h: which services there are and what they do, for lists and menus. Durable in the
// meta family:
//   catalogue 0x03 | service | 0x00 | operation | 0x00 | kind u8 -> last day seen, u32
// Limits: 2,000 services, 2,000 operations each; beyond, new ones are not listed (their spans are
// stored all the same) and counted. Thread: `add` and `recover` on the commit thread, lists from
// any.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/kv.h"
#include "telemetry/model.h"

namespace hms::collector {

class SpanCatalogue {
 public:
  [[nodiscard]] net::Result<void> recover(const KvReader& reader);
  /// What `add` is given from here on stays alive, and where it is, until the next call.
  void begin_group() noexcept { ++group_; }
  /// Notes that the operation was seen on that day; writes only what is new.
  void add(std::string_view service, std::string_view operation, telemetry::SpanKind kind,
           uint32_t day, KvWriter& writer);
  /// Removes what was last seen before that day.
  void forget_before(uint32_t day, KvWriter& writer);
  [[nodiscard]] std::vector<std::string> services() const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const;
  [[nodiscard]] uint64_t not_listed() const;

 private:
  static constexpr size_t kMaxServices = 2'000;
  static constexpr size_t kMaxOperations = 2'000;
  using Operation = std::pair<std::string, uint8_t>;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<Operation, uint32_t>, std::less<>> services_;  // -> last day seen
  uint64_t not_listed_ = 0;
  // What was added in this group: a hash of where its texts are, so that they need not be read
  // again.
  std::vector<uint64_t> met_ = std::vector<uint64_t>(4'096);
  uint64_t group_ = 1;
  // Hashes of what was added lately, with its day: nearly every span is of an operation that is
  // listed already. The commit thread's.
  struct Added {
    uint64_t hash = 0;
    uint32_t day = 0;
  };
  std::vector<Added> lately_ = std::vector<Added>(4'096);
};

[[nodiscard]] std::string_view span_kind_name(telemetry::SpanKind kind) noexcept;  // "server"

}  // namespace hms::collector
