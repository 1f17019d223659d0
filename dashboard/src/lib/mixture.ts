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

/// The share of a route's requests that took at most `ms`.
function shareBelow(part: Quantiles, ms: number): number {
  const knots: [number, number][] = [[0, 0]];
  if (part.p50 !== null) knots.push([part.p50, 0.5]);
  if (part.p95 !== null) knots.push([part.p95, 0.95]);
  if (part.p99 !== null) knots.push([part.p99, 0.99], [part.p99 * SLOWEST_OVER_P99, 1]);
  const last = knots[knots.length - 1]!;
  if (ms >= last[0]) return last[1];
  for (let index = 1; index < knots.length; index++) {
    const [right, high] = knots[index]!;
    if (ms > right) continue;
    const [left, low] = knots[index - 1]!;
    return right === left ? high : low + ((ms - left) / (right - left)) * (high - low);
  }
  return last[1];
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
  for (let turn = 0; turn < 40; turn++) {
    const middle = (low + high) / 2;
    const share = used.reduce((sum, part) => sum + part.count * shareBelow(part, middle), 0) / total;
    if (share < quantile) low = middle;
    else high = middle;
  }
  return high;
}
