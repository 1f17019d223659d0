// version_history.ts: errors and p99 of a canary and its baseline over time, from the collector's storage.
import { parseMatrix, promql, type Measure } from '../lib/prometheus';
import { getJson } from './api';
import type { Canary } from './canaries';

export interface VersionHistory {
  readonly from: number;
  readonly to: number;
  readonly xs: readonly number[];
  readonly errors: Readonly<Record<'baseline' | 'canary', readonly (number | null)[]>>;
  readonly p99: Readonly<Record<'baseline' | 'canary', readonly (number | null)[]>>;
}

const POINTS = 180;
/// Before the first and after the last decision, so that the change can be seen.
export const MARGIN_SECONDS = 20;
const RATE_WINDOW_SECONDS = 10;

export async function loadVersionHistory(canary: Canary, live: boolean, signal?: AbortSignal): Promise<VersionHistory | null> {
  const times = canary.record.map((entry) => entry.time).filter((time): time is number => time !== null);
  if (times.length === 0) return null;
  const now = Date.now() / 1000;
  const begin = Math.min(...times) / 1000 - MARGIN_SECONDS;
  const end = live ? now : Math.min(now, Math.max(...times) / 1000 + MARGIN_SECONDS);
  const step = Math.max(1, Math.ceil((end - begin) / POINTS));
  const from = Math.floor(begin / step) * step;
  const to = Math.floor(end / step) * step;
  const xs = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  const ask = async (measure: Measure) => {
    const query = promql(measure, { service: canary.service }, Math.max(RATE_WINDOW_SECONDS, step), ['hms_upstream']);
    const reply = (await getJson('api/v1/query_range', { query, start: from, end: to, step }, signal)) as { data?: unknown };
    const series = parseMatrix(reply?.data);
    const column = (upstream: string) => {
      const values = new Map(series.find((one) => one.labels.hms_upstream === upstream)?.points ?? []);
      return xs.map((second) => values.get(second) ?? null);
    };
    return { baseline: column(canary.baseline), canary: column(canary.canary) };
  };
  const [rates, failures, p99] = await Promise.all([ask('rps'), ask('error_rate'), ask('p99')]);
  const share = (version: 'baseline' | 'canary') => rates[version].map((rate, index) => (rate ? Math.min(1, (failures[version][index] ?? 0) / rate) : null));
  const inMs = (version: 'baseline' | 'canary') => p99[version].map((value) => (value === null ? null : value * 1000));
  return { from, to, xs, errors: { baseline: share('baseline'), canary: share('canary') }, p99: { baseline: inMs('baseline'), canary: inMs('canary') } };
}
