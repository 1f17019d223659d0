// prometheus.ts: the questions the page asks in PromQL, and the matrix that comes back. Tests: tests/prometheus.test.ts.

/// Everything between the quotes of a label matcher.
export function quoteLabel(value: string): string {
  return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

export type Measure = 'rps' | 'error_rate' | 'p50' | 'p95' | 'p99';
export const MEASURES: readonly Measure[] = ['rps', 'error_rate', 'p50', 'p95', 'p99'];

export interface Selection {
  readonly service?: string;
  readonly route?: string;
  readonly upstream?: string;
}

const METRIC = 'http_server_request_duration_seconds';

function selector(selection: Selection, extra: readonly string[] = []): string {
  const matchers = [...extra];
  if (selection.service) matchers.push(`service_name=${quoteLabel(selection.service)}`);
  if (selection.route) matchers.push(`http_route=${quoteLabel(selection.route)}`);
  if (selection.upstream) matchers.push(`hms_upstream=${quoteLabel(selection.upstream)}`);
  return matchers.length ? `${METRIC}{${matchers.join(',')}}` : METRIC;
}

/// A measure per `by`, over windows of `window` seconds. Latencies come out in seconds, as the metric has them.
export function promql(measure: Measure, selection: Selection, window: number, by: readonly string[]): string {
  const merged = (extra?: readonly string[]) => `sum by (${by.join(', ')}) (rate(${selector(selection, extra)}[${window}s]))`;
  if (measure === 'rps') return `histogram_count(${merged()})`;
  if (measure === 'error_rate') return `histogram_count(${merged(['http_response_status_code=~"5.."'])})`;
  return `histogram_quantile(0.${measure.slice(1)}, ${merged()})`;
}

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [number, number])[];
}

/// The matrix of a query_range reply: seconds and values. NaN and infinities are left out: there is nothing to draw there.
export function parseMatrix(data: unknown): Series[] {
  const result = (data as { result?: unknown } | null)?.result;
  if (!Array.isArray(result)) return [];
  return result.map((entry: { metric?: Record<string, string>; values?: [number, string][] }) => ({
    labels: entry.metric ?? {},
    points: (entry.values ?? []).map(([time, value]) => [time, Number(value)] as const).filter(([, value]) => Number.isFinite(value)),
  }));
}
