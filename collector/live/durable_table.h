// durable_table.h: small state that outlives a restart (alerts, silences, canaries): one table of
// the store, read at start-up and written behind.
//
// Writes are gathered: while one is under way, later ones wait and go together, the last value of a
// key wins. `done` comes on the loop, after the write-ahead log has it, or with the error that kept
// it out. What the disk refused is dropped, or tried again every second until it is stored
// (OnFailure). Thread: the loop's. Limit: values of 1 MiB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/engine.h"
#include "collector/store/keys.h"
#include "net/core/result.h"
#include "net/io/loop.h"

namespace hms::collector {

class DurableTable {
 public:
  using Done = std::function<void(net::Result<void>)>;
  using Entries = std::vector<std::pair<std::string, std::string>>;
  virtual ~DurableTable() = default;
  virtual void put(std::string key, std::string value, Done done = {}) = 0;
  virtual void remove(std::string key, Done done = {}) = 0;
  /// Changes that are not durable: under way, or refused and kept.
  [[nodiscard]] virtual size_t unstored() const = 0;
  /// Everything there is, by key. For start-up.
  [[nodiscard]] virtual net::Result<Entries> load() const = 0;
};

/// What becomes of a change that the disk refused, beside the error that its `done` gets.
enum class OnFailure : uint8_t {
  drop,  // whoever asked undoes it, or can do without
  keep   // it holds all the same: it is tried again until it is stored, however long that takes
};

/// `engine` must be open, and stay so until its close; after that `done` may not come any more.
[[nodiscard]] std::unique_ptr<DurableTable> make_durable_table(
    net::Loop& loop, StorageEngine& engine, Table table, OnFailure on_failure = OnFailure::drop);
/// Forgets at the end of the process: a collector without a data directory, and tests. `done` comes
/// in a later turn.
[[nodiscard]] std::unique_ptr<DurableTable> make_memory_table(net::Loop& loop);

}  // namespace hms::collector
