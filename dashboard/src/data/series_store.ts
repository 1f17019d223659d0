// series_store.ts: the live points of the last 15 minutes, per service and route, in bounded memory.
//
// A service is put together from its routes: rates add up, error rates weigh by rate, quantiles see lib/mixture.ts.
// The stream sends a point only for a route that had requests. So a second that the stream has covered and that has no point had none:
// its rate is 0 and its latency undefined. A second that is not covered is null: nobody knows. Charts draw on through the first and
// break at the second.
// Limits: MAX_SERIES rings of 900 s * 5 fields * 8 bytes = 36 kB each, 36 MB in all. A series silent for a minute makes room for a new one;
// while none is, new ones are refused and counted: throwing out what is busy would leave holes everywhere.
// Pure apart from time stamps in the points. Tests: tests/series_store.test.ts.
import { parseMoment } from '../lib/format';
import { mixtureQuantile } from '../lib/mixture';
import { SecondRing } from '../lib/second_ring';

export const WINDOW_SECONDS = 900;
export const MAX_SERIES = 1000;
const SILENT_SECONDS = 60;
export const FIELD = { rps: 0, error_rate: 1, p50: 2, p95: 3, p99: 4 } as const;
export type Field = keyof typeof FIELD;

export interface Point {
  readonly second: number;
  readonly service: string;
  readonly route: string;
  readonly values: readonly (number | null)[];
}

export type Value = number | null | undefined;

export interface Sample {
  readonly rps: number | null;
  readonly error_rate: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

const MAX_NAME = 512;
/// A longer silence than this on a working stream is a stream that does not work.
const MAX_QUIET_SECONDS = 60;
/// The collector publishes a second up to 2 s after its end when one sidecar is late.
const SETTLE_SECONDS = 2;

/// One event of /ops/stream. Null for anything that is not a point.
export function parsePoint(data: unknown): Point | null {
  if (typeof data !== 'object' || data === null) return null;
  const raw = data as Record<string, unknown>;
  const moment = parseMoment(raw.ts);
  if (moment === null || typeof raw.service !== 'string' || raw.service === '') return null;
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
  const idle = raw.count === 0 || raw.rps === 0;
  const latency = (value: unknown) => (idle ? null : number(value));
  return {
    second: Math.floor(moment / 1000),
    service: raw.service.slice(0, MAX_NAME),
    route: typeof raw.route === 'string' ? raw.route.slice(0, MAX_NAME) : '',
    values: [number(raw.rps), idle ? 0 : number(raw.error_rate), latency(raw.p50), latency(raw.p95), latency(raw.p99)],
  };
}

export class SeriesStore {
  private readonly services = new Map<string, Map<string, SecondRing>>();
  /// What the routes of a service came to, kept until one of them changes that second.
  private readonly sums = new Map<string, SecondRing>();
  private count = 0;
  private newest = -Infinity;
  private readonly covered = new SecondRing(WINDOW_SECONDS, 1);
  /// The stream has told everything from here on; Infinity while it is broken off or has not begun.
  private liveSince = Infinity;
  /// Routes that found no room; the page says so.
  private readonly refused = new Set<string>();

  get newestSecond(): number {
    return this.newest;
  }

  get seriesCount(): number {
    return this.count;
  }

  get refusedCount(): number {
    return this.refused.size;
  }

  add(point: Point): void {
    this.ring(point.service, point.route)?.write(point.second, point.values);
    this.sums.get(point.service)?.erase(point.second);
    if (!this.covered.has(point.second)) this.covered.write(point.second, [1]);
    if (this.liveSince === Infinity) this.liveSince = point.second;
    if (point.second <= this.newest) return;
    if (point.second - this.newest <= MAX_QUIET_SECONDS) this.cover(point.second);
    this.newest = point.second;
  }

  /// The stream is connected and said nothing up to that second: there was no request.
  advance(second: number): void {
    if (second <= this.newest || !Number.isFinite(this.newest)) return;
    if (this.liveSince === Infinity) this.liveSince = second;
    this.cover(second);
    this.newest = second;
  }

  /// History has answered for these seconds: where it has no value there was no request.
  coverRange(first: number, last: number): void {
    for (let at = Math.max(first, last - WINDOW_SECONDS + 1); at <= last; at++) if (!this.covered.has(at)) this.covered.write(at, [1]);
    if (last > this.newest) this.newest = last;
  }

  /// Events were lost: what has no point from here to the next event is not known.
  breakOff(): void {
    this.liveSince = Infinity;
  }

  private cover(second: number): void {
    const first = Math.max(this.newest + 1, this.liveSince, second - WINDOW_SECONDS + 1);
    for (let at = first; at <= second; at++) this.covered.write(at, [1]);
  }

  /// History: writes only where the stream has written nothing, and holds each value back over the seconds before it that it stands for.
  fill(service: string, route: string, second: number, holds: number, values: readonly (number | null)[]): void {
    const ring = this.ring(service, route);
    if (!ring) return;
    for (let at = second - holds + 1; at <= second; at++) {
      if (ring.has(at)) continue;
      ring.write(at, values);
      this.sums.get(service)?.erase(at);
      if (!this.covered.has(at)) this.covered.write(at, [1]);
    }
    if (second > this.newest) this.newest = second;
  }

  serviceNames(): string[] {
    return [...this.services.keys()].sort();
  }

  routeNames(service: string): string[] {
    return [...(this.services.get(service)?.keys() ?? [])].filter((route) => route !== '').sort();
  }

  sample(service: string, route: string, second: number): Sample {
    const read = (field: Field) => this.readValue(service, route, second, field) ?? null;
    return { rps: read('rps'), error_rate: read('error_rate'), p50: read('p50'), p95: read('p95'), p99: read('p99') };
  }

  slice(service: string, route: string, first: number, last: number, field: Field): Value[] {
    const values: Value[] = [];
    for (let second = first; second <= last; second++) values.push(this.readValue(service, route, second, field));
    return values;
  }

  /// The mean rate and the quantiles over the last seconds together. What a table cell shows.
  recent(service: string, route: string, seconds: number): Sample {
    const last = this.newest;
    if (last === -Infinity) return { rps: null, error_rate: null, p50: null, p95: null, p99: null };
    let requests = 0;
    let errors = 0;
    let measured = 0;
    const parts: { count: number; p50: number | null; p95: number | null; p99: number | null }[] = [];
    for (let second = last - seconds + 1; second <= last; second++) {
      const sample = this.sample(service, route, second);
      if (sample.rps === null) continue;
      measured++;
      requests += sample.rps;
      errors += sample.rps * (sample.error_rate ?? 0);
      if (sample.rps > 0) parts.push({ count: sample.rps, p50: sample.p50, p95: sample.p95, p99: sample.p99 });
    }
    if (measured === 0) return { rps: null, error_rate: null, p50: null, p95: null, p99: null };
    return {
      rps: requests / measured,
      error_rate: requests > 0 ? errors / requests : 0,
      p50: mixtureQuantile(parts, 0.5),
      p95: mixtureQuantile(parts, 0.95),
      p99: mixtureQuantile(parts, 0.99),
    };
  }

  private readValue(service: string, route: string, second: number, field: Field): Value {
    const routes = this.services.get(service);
    const ring = routes?.get(route);
    if (ring?.has(second)) return ring.read(second, FIELD[field]) ?? undefined;
    if (routes && route === '' && this.sum(service, routes, second)) return this.sums.get(service)!.read(second, FIELD[field]) ?? undefined;
    // The newest seconds may still be on their way from a slower sidecar.
    if (!this.covered.has(second) || second > this.newest - SETTLE_SECONDS) return null;
    return field === 'rps' ? 0 : undefined;
  }

  /// Puts a service's second together if that has not been done. False: no route has that second.
  private sum(service: string, routes: ReadonlyMap<string, SecondRing>, second: number): boolean {
    let sums = this.sums.get(service);
    if (!sums) this.sums.set(service, (sums = new SecondRing(WINDOW_SECONDS, Object.keys(FIELD).length)));
    if (sums.has(second)) return true;
    const parts: { count: number; p50: number | null; p95: number | null; p99: number | null }[] = [];
    let total = 0;
    let errors = 0;
    for (const ring of routes.values()) {
      const count = ring.read(second, FIELD.rps);
      if (count === null) continue;
      total += count;
      errors += count * (ring.read(second, FIELD.error_rate) ?? 0);
      parts.push({ count, p50: ring.read(second, FIELD.p50), p95: ring.read(second, FIELD.p95), p99: ring.read(second, FIELD.p99) });
    }
    if (parts.length === 0) return false;
    const quantile = (share: number) => mixtureQuantile(parts, share);
    return sums.write(second, [total, total > 0 ? errors / total : 0, quantile(0.5), quantile(0.95), quantile(0.99)]);
  }

  /// The ring of a series, made if there is room. Null: refused.
  private ring(service: string, route: string): SecondRing | null {
    const known = this.services.get(service)?.get(route);
    if (known) return known;
    if (this.count >= MAX_SERIES && !this.evictSilent()) {
      if (this.refused.size < MAX_SERIES) this.refused.add(`${service}\n${route}`);
      return null;
    }
    const ring = new SecondRing(WINDOW_SECONDS, Object.keys(FIELD).length);
    const routes = this.services.get(service) ?? new Map<string, SecondRing>();
    routes.set(route, ring);
    this.services.set(service, routes);
    this.count++;
    return ring;
  }

  private evictSilent(): boolean {
    let oldest: { service: string; route: string; second: number } | null = null;
    for (const [service, routes] of this.services) {
      for (const [route, ring] of routes) {
        if (!oldest || ring.newestSecond < oldest.second) oldest = { service, route, second: ring.newestSecond };
      }
    }
    if (!oldest || oldest.second > this.newest - SILENT_SECONDS) return false;
    const routes = this.services.get(oldest.service)!;
    routes.delete(oldest.route);
    this.sums.delete(oldest.service);
    if (routes.size === 0) this.services.delete(oldest.service);
    this.count--;
    return true;
  }
}
