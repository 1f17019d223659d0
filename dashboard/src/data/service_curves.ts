// service_curves.ts: the curves of a service's charts, in the same colours and widths wherever they are drawn.
import { computed, type ComputedRef, type Ref } from 'vue';
import type { ChartData } from './chart_data';
import { marksOf } from './marks';

export function useServiceCurves(service: Ref<string>, data: ComputedRef<ChartData>) {
  const columns = computed(() => data.value.columns);
  return {
    rate: computed(() => [{ label: 'requests/s', tone: 'rate', values: columns.value.rps, fill: true }]),
    errors: computed(() => [{ label: 'errors', tone: 'error', values: columns.value.error_rate, fill: true }]),
    latency: computed(() => [
      { label: 'p50', tone: 'p50', values: columns.value.p50, width: 1.25 },
      { label: 'p95', tone: 'p95', values: columns.value.p95, width: 1.5 },
      { label: 'p99', tone: 'p99', values: columns.value.p99, width: 2, fill: true },
    ]),
    marks: computed(() => marksOf(service.value)),
  };
}
