// mixture.ts: a quantile over several routes when only each route's p50, p95 and p99 are known.
//
// Averages of percentiles are wrong, and their maximum is too high. Each route's distribution is drawn as straight lines through
// (0, 0), (p50, .5), (p95, .95), (p99, .99), (1.25 p99, 1), the lines are added by request count, and the sum is inverted. Between the
// known points this is an estimate. History from the collector's merged histograms is exact.

/// Where a route's slowest request is assumed, in multiples of its p99. Without an end the slowest route would always win.
const SLOWEST_OVER_P99 = 1.25;

export interface Quantiles {
  readonly count: number;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/// The share of a route's requests that took at most `ms`. Runs some thousand times a second on a busy page: no arrays in here.
function shareBelow(part: Quantiles, ms: number): number {
  const p50 = part.p50 ?? 0;
  const p95 = part.p95 ?? p50;
  const p99 = part.p99 ?? p95;
  if (ms <= p50) return between(ms, 0, p50, 0, 0.5);
  if (ms <= p95) return between(ms, p50, p95, 0.5, 0.95);
  if (ms <= p99) return between(ms, p95, p99, 0.95, 0.99);
  return between(Math.min(ms, p99 * SLOWEST_OVER_P99), p99, p99 * SLOWEST_OVER_P99, 0.99, 1);
}

function between(at: number, left: number, right: number, low: number, high: number): number {
  return right > left ? low + ((at - left) / (right - left)) * (high - low) : high;
}

/// The quantile of the parts together, in milliseconds. Null when no part has both a count and a p99.
export function mixtureQuantile(parts: readonly Quantiles[], quantile: number): number | null {
  const used = parts.filter((part) => part.count > 0 && part.p99 !== null);
  if (used.length === 0) return null;
  if (used.length === 1) {
    const only = used[0]!;
    return quantile <= 0.5 ? only.p50 : quantile <= 0.95 ? only.p95 : only.p99;
  }
  const total = used.reduce((sum, part) => sum + part.count, 0);
  let low = 0;
  let high = Math.max(...used.map((part) => part.p99!)) * SLOWEST_OVER_P99;
  for (let turn = 0; turn < 24; turn++) {
    const middle = (low + high) / 2;
    const share = used.reduce((sum, part) => sum + part.count * shareBelow(part, middle), 0) / total;
    if (share < quantile) low = middle;
    else high = middle;
  }
  return high;
}
