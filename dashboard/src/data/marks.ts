// marks.ts: moments to draw into a service's charts: since when its alerts fire, and when a canary of it moved.
import type { ChartMark } from '../components/TimeChart.vue';
import { firing } from './alerts';
import { canaries } from './canaries';

export function marksOf(service: string): ChartMark[] {
  const alertMarks = firing.value
    .filter((alert) => alert.service === service && alert.since !== null)
    .map((alert): ChartMark => ({ time: alert.since! / 1000, label: alert.name, tone: 'critical' }));
  const canaryMarks = canaries.value
    .filter((canary) => canary.service === service)
    .flatMap((canary) => canary.record.filter((entry) => entry.time !== null && entry.verdict !== 'hold').map((entry): ChartMark => ({ time: entry.time! / 1000, label: `${canary.canary} ${entry.weight} %`, tone: 'neutral' })));
  return [...alertMarks, ...canaryMarks];
}
