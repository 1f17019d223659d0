// live.ts: the page's one store of live data: points from the stream, holes filled from history, and a tick for what draws them.
import { shallowRef, triggerRef } from 'vue';
import { parseMoment } from '../lib/format';
import { MEASURES, parseMatrix, promql, type Measure } from '../lib/prometheus';
import { getJson } from './api';
import { FIELD, parsePoint, SeriesStore, WINDOW_SECONDS } from './series_store';
import { streamState } from './stream';

export const store = new SeriesStore();

/// Changes at most a few times a second, after points have arrived. Whoever draws live data reads it.
export const liveTick = shallowRef(0);
/// The reader's clock, once a second, for "12 s ago".
export const now = shallowRef(Date.now());

export interface Gap {
  readonly from: number;
  readonly to: number;
}
/// Seconds between which events were missed, newest last. Charts shade them until history has filled them.
export const gaps = shallowRef<Gap[]>([]);
const MAX_GAPS = 20;

/// When the newest second rose, by this browser's clock: from there on we count the collector's seconds ourselves while it has nothing to say.
let raisedAt = 0;
/// A point comes up to this long after its second began.
const USUAL_DELAY_SECONDS = 4;

/// A second's points come one after the other: waiting this long draws them all at once.
const GATHER_MS = 120;
let scheduled = false;

export function touchLive(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    liveTick.value++;
  }, GATHER_MS);
}

export function acceptPoint(data: unknown): void {
  const point = parsePoint(data);
  if (!point) return;
  if (point.second > store.newestSecond) raisedAt = Date.now();
  store.add(point);
  touchLive();
}

export function acceptGap(data: unknown): void {
  const raw = (data ?? {}) as Record<string, unknown>;
  const end = Math.floor((parseMoment(raw.to ?? raw.ts) ?? Date.now()) / 1000);
  const start = parseMoment(raw.from);
  const from = start === null ? (Number.isFinite(store.newestSecond) ? store.newestSecond : end - WINDOW_SECONDS) : Math.floor(start / 1000);
  store.breakOff();
  gaps.value = [...gaps.value.slice(1 - MAX_GAPS), { from, to: Math.max(from, end) }];
  void fillHistory(Math.max(from, end - WINDOW_SECONDS), end);
}

/// How finely history is asked for. A rate over a window describes the window's middle, so values are put `shift` seconds back.
interface Grain {
  readonly step: number;
  readonly window: number;
  readonly shift: number;
}
const FINE: Grain = { step: 1, window: 3, shift: 2 };
const COARSE: Grain = { step: 5, window: 10, shift: 5 };
/// The default view is asked for second by second, what is older in steps: so a question never gives more than 300 points a series.
const FINE_SECONDS = 300;
/// What was measured this lately may not be stored yet.
const STORAGE_LAG_SECONDS = 6;

/// Fills the seconds between `from` and `to` that the stream has not written. Failing is not an error to show: the live data goes on.
export async function fillHistory(from: number, to: number): Promise<void> {
  const middle = Math.max(from, to - FINE_SECONDS);
  await fillGrain(middle, to, FINE);
  if (from < middle) await fillGrain(from, middle, COARSE);
}

async function fillGrain(from: number, to: number, { step, window, shift }: Grain): Promise<void> {
  const start = Math.ceil(from / step) * step;
  const end = Math.floor(to / step) * step;
  if (end < start) return;
  const by = ['service_name', 'http_route'];
  const ask = async (measure: Measure) => {
    const query = promql(measure, {}, window, by);
    const reply = (await getJson('api/v1/query_range', { query, start: start + shift, end: end + shift, step })) as { data?: unknown };
    return parseMatrix(reply?.data);
  };
  const answers = await Promise.allSettled(MEASURES.map(ask));
  const rows = new Map<string, { service: string; route: string; second: number; values: (number | null)[] }>();
  answers.forEach((answer, place) => {
    if (answer.status !== 'fulfilled') return;
    const measure = MEASURES[place]!;
    for (const { labels, points } of answer.value) {
      const service = labels.service_name;
      if (!service) continue;
      for (const [time, value] of points) {
        const second = time - shift;
        const key = `${service}\n${labels.http_route ?? ''}\n${second}`;
        let row = rows.get(key);
        if (!row) rows.set(key, (row = { service, route: labels.http_route ?? '', second, values: [null, 0, null, null, null] }));
        row.values[FIELD[measure]] = measure.startsWith('p') ? value * 1000 : value;
      }
    }
  });
  const newestBefore = store.newestSecond;
  for (const row of rows.values()) {
    const [rps, errors] = row.values;
    // The question for errors gives errors a second; the page shows the share of requests.
    row.values[FIELD.error_rate] = rps ? Math.min(1, (errors ?? 0) / rps) : 0;
    if (rps !== null) store.fill(row.service, row.route, row.second, step, row.values);
  }
  if (answers[0]?.status === 'fulfilled') {
    store.coverRange(start, Math.min(end, Math.floor(Date.now() / 1000) - STORAGE_LAG_SECONDS));
  }
  if (store.newestSecond > newestBefore) raisedAt = Date.now();
  triggerRef(gaps);
  touchLive();
}

export function startClock(): void {
  setInterval(() => {
    now.value = Date.now();
    const quiet = Math.floor((now.value - raisedAt) / 1000);
    if (raisedAt === 0 || quiet <= USUAL_DELAY_SECONDS) return;
    if (streamState.value !== 'live' && streamState.value !== 'idle') return;
    store.advance(store.newestSecond + quiet - USUAL_DELAY_SECONDS);
    raisedAt += (quiet - USUAL_DELAY_SECONDS) * 1000;
    touchLive();
  }, 1000);
}
