// verdict.cc: the statistics. Everything is in logarithms: capitals reach 10^300 quickly.
#include "collector/canary/verdict.h"

#include <math.h>  // lgamma_r: std::lgamma writes a global

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace hms::collector {
namespace {

constexpr double kAlpha = 0.01;
constexpr double kSlowShare = 0.01;   // what "p99" allows
constexpr int kMixture = 32;          // rates bet on; more change the capital by under 2 %
constexpr double kLeastBound = 1e-4;  // a limit of 0: one error is then enough
constexpr double kLeastDifference =
    0.005;  // smaller regressions are real at high traffic, but not worth a rollback
constexpr uint64_t kPlainRequests = 100;
constexpr uint64_t kLeastRequests = 10;  // in a step, before it may go forward
constexpr double kZ95 = 1.6448536269514722;
constexpr double kZBaseline =
    3.3;  // 99.95 %: the baseline's rate is not above this, for all that matters
constexpr uint64_t kKnownBaseline = 200;   // requests from which on that bound is worth something
constexpr double kLeastPromotable = 0.01;  // an error limit below this is not proven but only
                                           // watched: 0.1 % would take 2,700 requests

double log_gamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

double log_beta(double a, double b) { return log_gamma(a) + log_gamma(b) - log_gamma(a + b); }

/// k ln p + (n - k) ln(1 - p), with 0 ln 0 = 0.
double log_likelihood(double k, double n, double p) {
  double sum = 0;
  if (k > 0) sum += k * std::log(p);
  if (n - k > 0) sum += (n - k) * std::log1p(-p);
  return sum;
}

double rate_of(const VersionCounts& counts) {
  return counts.requests == 0
             ? 0
             : static_cast<double>(counts.errors) / static_cast<double>(counts.requests);
}

std::string percent(double share) {
  std::array<char, 32> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.3g %%", share * 100);
  return buffer.data();
}

std::string millis(double value) {
  std::array<char, 32> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.0f ms", value);
  return buffer.data();
}

std::string of(uint64_t part, uint64_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole) + " requests";
}

/// Observed share above `bound` by more than chance (95 %) on a plain reading.
bool clearly_above(uint64_t k, uint64_t n, double bound) {
  if (n < kPlainRequests || bound >= 1) return false;
  const double share = static_cast<double>(k) / static_cast<double>(n);
  return share > bound + kZ95 * std::sqrt(std::max(bound, kLeastBound) * (1 - bound) /
                                          static_cast<double>(n));
}

bool relevant_difference(const VersionCounts& canary, const VersionCounts& baseline, double limit) {
  return rate_of(canary) - rate_of(baseline) >= std::max(kLeastDifference, limit / 10);
}

/// ln of the capital against "not above the baseline", by the better of two bets: two unknown
/// rates, or, when the baseline is well known, the canary against the upper end of what the
/// baseline's rate can be. The second needs fewer requests, but would blame the canary for weather
/// that began after the baseline was measured: so never less than what the baseline does at the
/// same time.
double relative_evidence(const VersionCounts& canary, const VersionCounts& baseline,
                         const VersionCounts& baseline_now, double limit) {
  if (!relevant_difference(canary, baseline, limit)) return 0;
  double evidence =
      evidence_worse(canary.errors, canary.requests, baseline.errors, baseline.requests);
  if (baseline.requests < kKnownBaseline) return evidence;
  const double known =
      std::max(upper_rate(baseline.errors, baseline.requests, kZBaseline), rate_of(baseline_now));
  return std::max(evidence, evidence_above(canary.errors, canary.requests, known));
}

/// How many more requests until the upper end is below the limit, if they go on as so far; 0:
/// never.
uint64_t requests_needed(const VersionCounts& canary, double limit) {
  const double rate = rate_of(canary);
  if (rate >= limit) return 0;
  uint64_t total = std::max<uint64_t>(canary.requests, 1);
  while (total < 100'000'000) {
    total += std::max<uint64_t>(1, total / 50);
    if (upper_rate(static_cast<uint64_t>(std::ceil(rate * static_cast<double>(total))), total) <=
        limit)
      return total - canary.requests;
  }
  return 0;
}

Verdict hold_or_advance(const VerdictInput& input, Verdict verdict) {
  const VersionCounts& step = input.canary;
  const VersionCounts& all = input.canary_rollout;
  verdict.kind = Verdict::Kind::hold;
  const double limit = std::max(input.limits.error_rate, kLeastPromotable);
  if (step.requests < kLeastRequests) {
    verdict.reason = "insufficient evidence: " + std::to_string(step.requests) +
                     " requests reached the canary in this step, at least " +
                     std::to_string(kLeastRequests) + " are needed";
    return verdict;
  }
  if (limit < 1 && upper_rate(all.errors, all.requests) > limit) {
    const uint64_t more = requests_needed(all, limit);
    verdict.reason =
        "insufficient evidence: " + of(all.errors, all.requests) + " failed, which leaves up to " +
        percent(upper_rate(all.errors, all.requests)) + " possible (limit " + percent(limit) + ")" +
        (more == 0 ? "; its error rate is not below the limit"
                   : "; needs about " + std::to_string(more) + " more requests");
    return verdict;
  }
  if (step.p99_ms > input.limits.p99_ms) {
    verdict.reason = "p99 is " + millis(step.p99_ms) + " (limit " + millis(input.limits.p99_ms) +
                     ") on " + std::to_string(step.requests) +
                     " requests: too few to roll back, too slow to go on";
    return verdict;
  }
  verdict.kind = Verdict::Kind::advance;
  verdict.reason = "error rate " + percent(rate_of(step)) + " (" + of(step.errors, step.requests) +
                   ", baseline " + percent(rate_of(input.baseline)) + "), p99 " +
                   millis(step.p99_ms) + " (baseline " + millis(input.baseline.p99_ms) +
                   "): within the limits";
  return verdict;
}

}  // namespace

std::string_view verdict_name(Verdict::Kind kind) noexcept {
  switch (kind) {
    case Verdict::Kind::wait:
      return "wait";
    case Verdict::Kind::advance:
      return "advance";
    case Verdict::Kind::hold:
      return "hold";
    case Verdict::Kind::rollback:
      return "rollback";
  }
  return "";
}

VersionCounts prior_baseline(const VersionCounts& minute, const VersionCounts& moment) {
  return moment.requests > 0 && rate_of(moment) * 2 < rate_of(minute) ? moment : minute;
}

double evidence_above(uint64_t k, uint64_t n, double bound) {
  if (n == 0 || bound >= 1) return 0;
  bound = std::max(bound, kLeastBound);
  const double null = log_likelihood(static_cast<double>(k), static_cast<double>(n), bound);
  std::array<double, kMixture> logs;
  for (int j = 0; j < kMixture; ++j) {
    // Denser near the bound, where small excesses are told apart; never 1, so that one success does
    // not break the bank.
    const double place = (j + 0.5) / kMixture;
    const double rate = bound + (1 - bound) * place * place;
    logs[static_cast<size_t>(j)] =
        log_likelihood(static_cast<double>(k), static_cast<double>(n), rate) - null;
  }
  const double most = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - most);
  return most + std::log(sum / kMixture);
}

double evidence_worse(uint64_t canary_errors, uint64_t canary_requests, uint64_t baseline_errors,
                      uint64_t baseline_requests) {
  if (canary_requests == 0 || baseline_requests == 0) return 0;
  const auto kc = static_cast<double>(canary_errors), nc = static_cast<double>(canary_requests);
  const auto kb = static_cast<double>(baseline_errors), nb = static_cast<double>(baseline_requests);
  const double prior = log_beta(0.5, 0.5);
  const double bet =
      log_beta(kc + 0.5, nc - kc + 0.5) - prior + log_beta(kb + 0.5, nb - kb + 0.5) - prior;
  double best = 0;
  if (kc / nc <= kb / nb) {
    best = log_likelihood(kc, nc, kc / nc) + log_likelihood(kb, nb, kb / nb);
  } else {
    best = log_likelihood(kc + kb, nc + nb, (kc + kb) / (nc + nb));
  }
  return bet - best;
}

double upper_rate(uint64_t k, uint64_t n, double z) {
  if (n == 0) return 1;
  const auto count = static_cast<double>(n);
  const double share = static_cast<double>(k) / count;
  const double z2 = z * z;
  const double middle = share + z2 / (2 * count);
  const double spread = z * std::sqrt(share * (1 - share) / count + z2 / (4 * count * count));
  return std::min(1.0, (middle + spread) / (1 + z2 / count));
}

Verdict judge(const VerdictInput& input) {
  const VersionCounts& step = input.canary;
  const VersionCounts& all = input.canary_rollout;
  const double for_rollout = std::log(1 / kAlpha);
  const double for_step =
      for_rollout + std::log(static_cast<double>(std::max<size_t>(input.steps, 1)));
  // The larger of both, on the rollout's scale.
  const double step_discount = for_step - for_rollout;
  Verdict verdict;
  verdict.limit_evidence =
      std::max(evidence_above(all.errors, all.requests, input.limits.error_rate),
               evidence_above(step.errors, step.requests, input.limits.error_rate) - step_discount);
  verdict.slow_evidence =
      std::max(evidence_above(all.slow, all.requests, kSlowShare),
               evidence_above(step.slow, step.requests, kSlowShare) - step_discount);
  const double relative_rollout =
      relative_evidence(all, input.baseline_rollout, input.baseline, input.limits.error_rate);
  const double relative_step =
      relative_evidence(step, input.baseline, input.baseline, input.limits.error_rate) -
      step_discount;
  verdict.relative_evidence = std::max(relative_rollout, relative_step);

  verdict.kind = Verdict::Kind::rollback;
  if (verdict.limit_evidence >= for_rollout ||
      clearly_above(step.errors, step.requests, input.limits.error_rate)) {
    verdict.reason = "error rate " + percent(rate_of(step)) + " (" +
                     of(step.errors, step.requests) + ") is above the limit of " +
                     percent(input.limits.error_rate) + "; baseline " +
                     percent(rate_of(input.baseline)) + " (" +
                     of(input.baseline.errors, input.baseline.requests) + ")";
    return verdict;
  }
  if (verdict.slow_evidence >= for_rollout || clearly_above(step.slow, step.requests, kSlowShare)) {
    verdict.reason = of(step.slow, step.requests) + " took longer than " +
                     millis(input.limits.p99_ms) + ": p99 " + millis(step.p99_ms) +
                     " is above the limit; baseline " + millis(input.baseline.p99_ms);
    return verdict;
  }
  if (verdict.relative_evidence >= for_rollout) {
    verdict.reason = "error rate " + percent(rate_of(all)) + " (" + of(all.errors, all.requests) +
                     ") is above the baseline's " + percent(rate_of(input.baseline_rollout)) +
                     " (" + of(input.baseline_rollout.errors, input.baseline_rollout.requests) +
                     ")";
    // Few requests can prove that it is worse than the baseline before they prove that the limit is
    // crossed.
    if (rate_of(all) <= input.limits.error_rate) {
      verdict.reason += ", though within the limit of " + percent(input.limits.error_rate);
    }
    return verdict;
  }
  verdict.kind = Verdict::Kind::wait;
  if (!input.step_over) return verdict;
  return hold_or_advance(input, std::move(verdict));
}

}  // namespace hms::collector
