// chart_data.ts: what the charts of one service or route draw: live seconds from the store, or a longer range from the collector.
import { computed, onScopeDispose, shallowRef, watch, type ComputedRef, type Ref } from 'vue';
import { MEASURES, parseMatrix, promql } from '../lib/prometheus';
import { describeError, getJson } from './api';
import { liveTick, store } from './live';
import { WINDOW_SECONDS, type Field, type Value } from './series_store';

export interface ChartData {
  readonly from: number;
  readonly to: number;
  readonly xs: readonly number[];
  readonly columns: Readonly<Record<Field, readonly Value[]>>;
}

export const WINDOWS: readonly { readonly seconds: number; readonly label: string }[] = [
  { seconds: 300, label: '5 m' },
  { seconds: 900, label: '15 m' },
  { seconds: 3600, label: '1 h' },
  { seconds: 21_600, label: '6 h' },
  { seconds: 86_400, label: '24 h' },
];

/// Points across a chart of history: more than there are pixels helps nobody.
const HISTORY_POINTS = 240;
const REFRESH_MS = 15_000;

function liveData(service: string, route: string, seconds: number): ChartData {
  const to = Number.isFinite(store.newestSecond) ? store.newestSecond : Math.floor(Date.now() / 1000);
  const from = to - seconds + 1;
  const xs = Array.from({ length: seconds }, (_, index) => from + index);
  const column = (field: Field) => store.slice(service, route, from, to, field);
  return { from, to, xs, columns: { rps: column('rps'), error_rate: column('error_rate'), p50: column('p50'), p95: column('p95'), p99: column('p99') } };
}

async function historyData(service: string, route: string, seconds: number, end: number, signal: AbortSignal): Promise<ChartData> {
  const step = Math.max(5, Math.ceil(seconds / HISTORY_POINTS));
  const to = Math.floor(end / step) * step;
  const from = to - Math.floor(seconds / step) * step;
  const xs = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  const answers = await Promise.all(
    MEASURES.map(async (measure) => {
      const query = promql(measure, { service, route }, Math.max(10, step), ['service_name']);
      const reply = (await getJson('api/v1/query_range', { query, start: from, end: to, step }, signal)) as { data?: unknown };
      const values = new Map(parseMatrix(reply?.data)[0]?.points ?? []);
      return xs.map((second) => values.get(second) ?? null);
    }),
  );
  const [rps, errors, ...latencies] = answers as [(number | null)[], (number | null)[], ...(number | null)[][]];
  const share = rps.map((rate, index) => (rate === null ? null : rate > 0 ? Math.min(1, (errors[index] ?? 0) / rate) : 0));
  const [p50, p95, p99] = latencies.map((column) => column.map((value) => (value === null ? null : value * 1000)));
  return { from, to, xs, columns: { rps, error_rate: share, p50: p50!, p95: p95!, p99: p99! } };
}

export function useChartData(
  service: Ref<string>,
  route: Ref<string>,
  seconds: Ref<number>,
): { data: ComputedRef<ChartData>; error: Ref<string>; loading: Ref<boolean> } {
  const history = shallowRef<ChartData | null>(null);
  const error = shallowRef('');
  const loading = shallowRef(false);
  let abort = new AbortController();

  const load = async () => {
    if (seconds.value <= WINDOW_SECONDS) return;
    abort.abort();
    abort = new AbortController();
    loading.value = history.value === null;
    try {
      history.value = await historyData(service.value, route.value, seconds.value, Date.now() / 1000, abort.signal);
      error.value = '';
    } catch (failure) {
      if (!(failure instanceof DOMException)) error.value = describeError(failure);
    }
    loading.value = false;
  };
  watch(
    [service, route, seconds],
    () => {
      history.value = null;
      error.value = '';
      void load();
    },
    { immediate: true },
  );
  const timer = setInterval(() => void load(), REFRESH_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    abort.abort();
  });

  const data = computed(() => {
    void liveTick.value;
    if (seconds.value <= WINDOW_SECONDS || !history.value) return liveData(service.value, route.value, Math.min(seconds.value, WINDOW_SECONDS));
    return history.value;
  });
  return { data, error, loading };
}
