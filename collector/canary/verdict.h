// verdict.h: is the canary worse? A pure function of what both versions did.
//
// Three tests, each an e-process: a bet against "the canary is fine" whose capital grows only if it
// is not. It is valid however often one looks, so that looking every second costs no false alarms.
// A capital of 1/alpha rolls back, alpha = 0.01; within one step alone (a version that goes bad
// later) it takes the number of steps times as much.
//
//   limit: its error rate is above limits.error_rate. Bets on a mixture of rates above the limit.
//
//   slow: more than 1 % of its requests take longer than limits.p99_ms, which is what "p99 is above
//   the limit" means, and works on few requests. The same bet.
//
//   relative: its error rate is above the baseline's. Bets on two unknown rates against the best
//   explanation with "not above" (universal inference), or, when the baseline is well known,
//   against the upper end of its rate. Only if the difference is at least 0.5 points and a tenth of
//   the limit.
//
// Besides, from 100 requests on in a step, an observed rate or p99 clearly (95 %) above its limit
// rolls back, as anyone who reads the limit expects. A step goes forward only if the canary had
// requests enough that its error rate is, with 95 %, below the limit; else it holds and says how
// many it needs.
// Limits: binomial traffic is assumed; outages shared by both versions are not modelled. Simulated
// in tests/unit/collector/canary/verdict_test.cc.
#pragma once

#include <cstdint>
#include <string>

#include "collector/canary/plan.h"

namespace hms::collector {

/// What one version did in some time.
struct VersionCounts {
  uint64_t requests = 0, errors = 0;
  uint64_t slow = 0;  // longer than limits.p99_ms
  double p99_ms = 0;
};

struct VerdictInput {
  VersionCounts baseline, canary;  // since the step began
  VersionCounts baseline_rollout,
      canary_rollout;  // since the rollout began (the baseline: a minute before), this step
                       // included; only while both had traffic for the baseline's part
  CanaryLimits limits;
  size_t steps = 1;
  bool step_over = false;  // step_seconds have passed
};

struct Verdict {
  // wait: the step is not over and nothing is wrong
  enum class Kind : uint8_t { wait, advance, hold, rollback };
  Kind kind = Kind::wait;
  std::string reason;  // one sentence with the numbers
  double limit_evidence = 0, slow_evidence = 0,
         relative_evidence = 0;  // natural logarithms of the capital
};
[[nodiscard]] std::string_view verdict_name(Verdict::Kind kind) noexcept;

[[nodiscard]] Verdict judge(const VerdictInput& input);

/// The baseline's counts to begin a rollout with: its last minute, or only its last moment if that
/// failed less than half as often, because an incident has just passed.
[[nodiscard]] VersionCounts prior_baseline(const VersionCounts& minute,
                                           const VersionCounts& moment);

// The parts, for tests and for the record.

/// ln of the capital against "the rate of k of n is at most `bound`".
[[nodiscard]] double evidence_above(uint64_t k, uint64_t n, double bound);
/// ln of the capital against "the canary's rate is at most the baseline's".
[[nodiscard]] double evidence_worse(uint64_t canary_errors, uint64_t canary_requests,
                                    uint64_t baseline_errors, uint64_t baseline_requests);
/// Upper end (one-sided, Wilson; z 1.64 is 95 %) of where the rate of k of n can be.
[[nodiscard]] double upper_rate(uint64_t k, uint64_t n, double z = 1.6448536269514722);

}  // namespace hms::collector
