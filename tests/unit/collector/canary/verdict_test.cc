#include "collector/canary/verdict.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace hms::collector;

namespace {

VersionCounts counts(uint64_t requests, uint64_t errors, uint64_t slow = 0, double p99 = 100) {
  return {requests, errors, slow, p99};
}

VerdictInput input(VersionCounts baseline, VersionCounts canary, bool over = false) {
  VerdictInput in;
  in.baseline = in.baseline_rollout = baseline;
  in.canary = in.canary_rollout = canary;
  in.steps = 5;
  in.step_over = over;
  return in;
}

struct Outcome {
  bool rolled_back = false, promoted = false;
  int seconds = 0;
  uint64_t canary_requests = 0, bad_requests = 0;
};

/// One rollout with given true rates, second by second, as the controller runs it; at most
/// `patience` seconds.
Outcome simulate(std::mt19937_64& random, double rps, double base_rate, double canary_rate,
                 double slow_share = 0, int patience = 1200) {
  const std::vector<int> steps = {5, 10, 25, 50, 100};
  VersionCounts base_before, canary_before, base, canary;
  // The controller knows what the baseline did before the rollout.
  VersionCounts minute, moment;
  moment.requests = static_cast<uint64_t>(10 * rps);
  moment.errors = std::binomial_distribution<uint64_t>(moment.requests, base_rate)(random);
  minute.requests = static_cast<uint64_t>(60 * rps);
  minute.errors = moment.errors + std::binomial_distribution<uint64_t>(
                                      minute.requests - moment.requests, base_rate)(random);
  base_before = prior_baseline(minute, moment);
  Outcome outcome;
  size_t step = 0;
  int in_step = 0;
  for (outcome.seconds = 0; outcome.seconds < patience; ++outcome.seconds) {
    const double share = steps[step] / 100.0;
    const auto draw = [&](double rate, double probability) {
      const uint64_t n = std::poisson_distribution<uint64_t>(rate)(random);
      return std::pair<uint64_t, uint64_t>(
          n, n == 0 ? 0 : std::binomial_distribution<uint64_t>(n, probability)(random));
    };
    if (share < 1) {
      const auto [n, k] = draw(rps * (1 - share), base_rate);
      base.requests += n;
      base.errors += k;
    }
    const auto [n, k] = draw(rps * share, canary_rate);
    canary.requests += n;
    canary.errors += k;
    if (slow_share > 0 && n > 0)
      canary.slow += std::binomial_distribution<uint64_t>(n, slow_share)(random);
    outcome.canary_requests += n;
    outcome.bad_requests += k;
    ++in_step;
    VerdictInput in;
    in.baseline = base;
    in.canary = canary;
    in.baseline_rollout = {base_before.requests + base.requests, base_before.errors + base.errors,
                           0, 0};
    in.canary_rollout = {canary_before.requests + canary.requests,
                         canary_before.errors + canary.errors, canary_before.slow + canary.slow, 0};
    if (steps[step] == 100) in.baseline_rollout = {};
    in.steps = steps.size();
    in.step_over = in_step >= 30;
    const Verdict verdict = judge(in);
    if (verdict.kind == Verdict::Kind::rollback) {
      outcome.rolled_back = true;
      return outcome;
    }
    if (verdict.kind != Verdict::Kind::advance) continue;
    if (step + 1 == steps.size()) {
      outcome.promoted = true;
      return outcome;
    }
    ++step;
    in_step = 0;
    base_before = in.baseline_rollout;
    canary_before = in.canary_rollout;
    base = canary = VersionCounts{};
  }
  return outcome;
}

struct Rates {
  double rollback = 0, promote = 0, seconds = 0, longest = 0, bad = 0;
};

Rates simulate_many(double rps, double base, double canary, double slow = 0, int runs = 300) {
  std::mt19937_64 random(20261122);
  Rates rates;
  for (int i = 0; i < runs; ++i) {
    const Outcome outcome = simulate(random, rps, base, canary, slow);
    rates.rollback += outcome.rolled_back ? 1 : 0;
    rates.promote += outcome.promoted ? 1 : 0;
    rates.seconds += outcome.rolled_back ? outcome.seconds : 0;
    if (outcome.rolled_back) rates.longest = std::max<double>(rates.longest, outcome.seconds);
    rates.bad += static_cast<double>(outcome.bad_requests);
  }
  if (rates.rollback > 0) rates.seconds /= rates.rollback;
  rates.rollback /= runs;
  rates.promote /= runs;
  rates.bad /= runs;
  MESSAGE("rps " << rps << ", errors " << base * 100 << " -> " << canary * 100 << " %, slow "
                 << slow * 100 << " %: rolled back " << rates.rollback * 100 << " % after "
                 << rates.seconds << " s (at most " << rates.longest << " s), promoted "
                 << rates.promote * 100 << " %, " << rates.bad << " bad requests");
  return rates;
}

}  // namespace

TEST_CASE("verdict: nothing wrong and the step not over means wait") {
  CHECK(judge(input(counts(500, 1), counts(20, 0))).kind == Verdict::Kind::wait);
}

TEST_CASE("verdict: three failures of three roll back, one of ten does not") {
  CHECK(judge(input(counts(200, 0), counts(3, 3))).kind == Verdict::Kind::rollback);
  CHECK(judge(input(counts(200, 0), counts(10, 1))).kind == Verdict::Kind::wait);
  CHECK(judge(input(counts(200, 0), counts(1, 1))).kind == Verdict::Kind::wait);
}

TEST_CASE("verdict: a reason names rate, counts, limit and baseline") {
  const Verdict verdict = judge(input(counts(190, 1), counts(6, 5)));
  REQUIRE(verdict.kind == Verdict::Kind::rollback);
  CHECK(verdict.reason ==
        "error rate 83.3 % (5 of 6 requests) is above the limit of 5 %; baseline 0.526 % (1 of 190 "
        "requests)");
}

TEST_CASE("verdict: requests beyond the p99 limit roll back after a few, without any error") {
  const Verdict verdict = judge(input(counts(200, 0), counts(5, 0, 4, 4000)));
  REQUIRE(verdict.kind == Verdict::Kind::rollback);
  CHECK(verdict.reason.find("4 of 5 requests took longer than 2000 ms: p99 4000 ms") == 0);
  CHECK(judge(input(counts(200, 0), counts(40, 0, 1, 4000))).kind == Verdict::Kind::wait);
}

TEST_CASE(
    "verdict: worse than the baseline rolls back also within the limit, but not for a trifle") {
  VerdictInput in = input(counts(100'000, 50), counts(5'000, 100));
  const Verdict verdict = judge(in);
  REQUIRE(verdict.kind == Verdict::Kind::rollback);
  CHECK(verdict.reason.find("above the baseline's") != std::string::npos);
  // 0.10 % against 0.30 % is certain at this traffic, and not worth a rollback.
  CHECK(judge(input(counts(1'000'000, 1000), counts(100'000, 300))).kind == Verdict::Kind::wait);
}

TEST_CASE("verdict: an incident that has just passed is not held against the baseline") {
  CHECK(prior_baseline(counts(1800, 120), counts(300, 0)).requests == 300);
  CHECK(prior_baseline(counts(1800, 12), counts(300, 2)).requests == 1800);
  CHECK(prior_baseline(counts(1800, 12), counts(0, 0)).requests == 1800);
}

TEST_CASE("verdict: without a baseline only the limits judge") {
  CHECK(judge(input(counts(0, 0), counts(1000, 30))).kind == Verdict::Kind::wait);
  CHECK(judge(input(counts(0, 0), counts(1000, 90))).kind == Verdict::Kind::rollback);
}

TEST_CASE(
    "verdict: a step that is over goes forward only with enough requests, else it says how many it "
    "needs") {
  CHECK(judge(input(counts(500, 0), counts(0, 0), true)).kind == Verdict::Kind::hold);
  const Verdict few = judge(input(counts(500, 0), counts(25, 0), true));
  CHECK(few.kind == Verdict::Kind::hold);
  CHECK(few.reason.find("insufficient evidence: 0 of 25 requests failed") == 0);
  CHECK(few.reason.find("needs about") != std::string::npos);
  const Verdict enough = judge(input(counts(500, 0), counts(60, 0), true));
  CHECK(enough.kind == Verdict::Kind::advance);
  CHECK(judge(input(counts(500, 0), counts(60, 0, 0, 2500), true)).kind == Verdict::Kind::hold);
}

TEST_CASE("verdict: a limit of zero rolls back at the first error, a limit of one at none") {
  VerdictInput in = input(counts(0, 0), counts(5, 1));
  in.limits.error_rate = 0;
  CHECK(judge(in).kind == Verdict::Kind::rollback);
  in = input(counts(0, 0), counts(500, 500));
  in.limits.error_rate = 1;
  CHECK(judge(in).kind == Verdict::Kind::wait);
}

TEST_CASE("evidence: it stays finite for every count") {
  for (const uint64_t n : {uint64_t{1}, uint64_t{10}, uint64_t{1'000'000'000}}) {
    for (const uint64_t k : {uint64_t{0}, n / 2, n}) {
      CHECK(std::isfinite(evidence_above(k, n, 0.05)));
      CHECK(std::isfinite(evidence_worse(k, n, k / 3, n)));
      CHECK(upper_rate(k, n) <= 1);
      CHECK(upper_rate(k, n) >= static_cast<double>(k) / static_cast<double>(n) - 1e-12);
    }
  }
}

TEST_CASE("simulation: a healthy canary is not rolled back, however noisy its service") {
  CHECK(simulate_many(3, 0.005, 0.005).rollback <= 0.01);
  CHECK(simulate_many(10, 0.005, 0.005).rollback <= 0.01);
  CHECK(simulate_many(10, 0.012, 0.012).rollback <= 0.01);
  const Rates busy = simulate_many(50, 0.012, 0.012);
  CHECK(busy.rollback <= 0.01);
  CHECK(busy.promote >= 0.98);
}

TEST_CASE("simulation: a bad canary is rolled back, the worse the sooner") {
  const Rates half = simulate_many(30, 0.002, 0.5);
  CHECK(half.rollback == 1);
  CHECK(half.seconds < 8);
  const Rates seventeen = simulate_many(30, 0.002, 0.17);
  CHECK(seventeen.rollback == 1);
  CHECK(seventeen.seconds < 20);
  const Rates ten = simulate_many(10, 0.005, 0.1);
  CHECK(ten.rollback >= 0.99);
  CHECK(simulate_many(50, 0.005, 0.03).rollback >=
        0.95);  // within the limit of 5 %: only the baseline tells
  const Rates slow = simulate_many(30, 0.002, 0.002, 0.5);
  CHECK(slow.rollback == 1);
  CHECK(slow.seconds < 8);
}

TEST_CASE(
    "simulation: at very little traffic a small regression is held rather than promoted unseen") {
  const Rates rates = simulate_many(1, 0.005, 0.08);
  CHECK(rates.promote <= 0.05);
}
