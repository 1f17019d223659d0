// health.ts: when a number deserves a colour. The bounds are those of the default alert rules: more than 5 % errors, p99 over 2 s.
import type { Sample } from '../data/series_store';

export type Health = 'critical' | 'warning' | 'good' | 'silent';

export const ERROR_CRITICAL = 0.05;
export const ERROR_WARNING = 0.01;
export const P99_CRITICAL_MS = 2000;
export const P99_WARNING_MS = 1000;

export function errorHealth(share: number | null): Health {
  if (share === null) return 'silent';
  return share > ERROR_CRITICAL ? 'critical' : share > ERROR_WARNING ? 'warning' : 'good';
}

export function latencyHealth(p99: number | null): Health {
  if (p99 === null) return 'silent';
  return p99 > P99_CRITICAL_MS ? 'critical' : p99 > P99_WARNING_MS ? 'warning' : 'good';
}

const RANK: Record<Health, number> = { critical: 0, warning: 1, good: 2, silent: 3 };

export function worst(...healths: readonly Health[]): Health {
  return healths.reduce((most, health) => (RANK[health] < RANK[most] ? health : most), 'silent');
}

export function sampleHealth(sample: Pick<Sample, 'error_rate' | 'p99' | 'rps'>): Health {
  if (!sample.rps) return 'silent';
  return worst(errorHealth(sample.error_rate), latencyHealth(sample.p99));
}

/// For sorting: the worst first, and among equals the one with the most trouble.
export function trouble(sample: Pick<Sample, 'error_rate' | 'p99' | 'rps'>): number {
  return (3 - RANK[sampleHealth(sample)]) * 1e6 + (sample.error_rate ?? 0) * 1e5 + Math.min(sample.p99 ?? 0, 9e4);
}
