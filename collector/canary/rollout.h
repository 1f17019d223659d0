// rollout.h: one rollout: its plan, where it stands, and what both versions did since it began; as
// JSON for the store.
//
// Requests are counted where the split is made: in the service's own sidecar
// (http.server.request.duration with hms.upstream), else in its callers'
// (http.client.request.duration), whose metrics do not name the service called: an upstream's name
// must then be one service's alone, which controller.cc sees to. Thread: the controller's.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "collector/canary/plan.h"
#include "collector/canary/record.h"
#include "collector/canary/verdict.h"
#include "collector/live/window.h"
#include "net/core/result.h"

namespace hms::collector {

enum class RolloutState : uint8_t { running, paused, promoted, rolled_back };
[[nodiscard]] std::string_view state_name(RolloutState state) noexcept;

/// Totals since a second, without adding up the whole past each time.
class RunningTotals {
 public:
  void begin(int64_t second);
  [[nodiscard]] WindowTotals upto(const LiveWindow& window, const WindowFilter& filter,
                                  int64_t end);

 private:
  WindowTotals settled_;
  int64_t settled_end_ = 0;
};

struct Rollout {
  CanaryPlan plan;
  RolloutState state = RolloutState::running;
  int weight = 0;
  size_t step = 0;
  int64_t started_at = 0;                        // Unix milliseconds
  int64_t step_begin = 0;                        // the first second that counts
  VersionCounts baseline_before, canary_before;  // of finished steps
  VersionCounts baseline_now, canary_now;        // of this step, as last looked at
  std::string last_reason;
  int64_t last_hold_at = 0;
  RunningTotals inbound_baseline, inbound_canary, outbound_baseline, outbound_canary;
  std::vector<CanaryDecision> record;
  uint64_t next_entry = 0;

  [[nodiscard]] bool is_live() const noexcept {
    return state == RolloutState::running || state == RolloutState::paused;
  }
  /// A step counts from the first whole second after its weight was sent.
  void begin_step(int64_t now_millis);
  /// Keeps what this step saw as evidence for the next ones.
  void end_step();
  /// Looks at the seconds from the step's begin up to `end`.
  void count(const LiveWindow& window, int64_t end);
  /// What the baseline did before the rollout is evidence, too: a canary of few requests is then
  /// compared with many. Its last minute, or its last ten seconds if an incident has just passed.
  void count_before(const LiveWindow& window, int64_t now_millis);
  [[nodiscard]] Verdict verdict(int64_t end) const;
};

[[nodiscard]] std::string rollout_text(const Rollout& rollout);
/// Errors: corrupt, bad_message.
[[nodiscard]] net::Result<Rollout> read_rollout(const std::string& name, const std::string& text);

}  // namespace hms::collector
