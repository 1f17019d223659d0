import { describe, expect, test } from 'vitest';
import { MAX_SERIES, parsePoint, SeriesStore, type Point } from '../src/data/series_store';

function point(second: number, service: string, route: string, rps = 10, errors = 0, p99 = 100): Point {
  return { second, service, route, values: [rps, errors, p99 / 4, p99 / 2, p99] };
}

describe('parsePoint', () => {
  test('reads a point of the stream', () => {
    const parsed = parsePoint({ ts: 1_763_780_862_000, service: 'claims', route: 'GET /', rps: 4, error_rate: 0.5, p50: 1, p95: 2, p99: 3, count: 4 });
    expect(parsed).toEqual({ second: 1_763_780_862, service: 'claims', route: 'GET /', values: [4, 0.5, 1, 2, 3] });
  });

  test('a second without requests has no latency, whatever the zeros say', () => {
    expect(parsePoint({ ts: 1_763_780_862, service: 'a', route: '', rps: 0, error_rate: 0, p50: 0, p95: 0, p99: 0, count: 0 })!.values).toEqual([0, 0, null, null, null]);
  });

  test('refuses what is not a point', () => {
    for (const bad of [null, 1, [], {}, { ts: 'x', service: 'a' }, { ts: 1_763_780_862, service: 7 }]) expect(parsePoint(bad)).toBeNull();
  });
});

describe('SeriesStore', () => {
  test("a service's own point wins over the sum of its routes", () => {
    const store = new SeriesStore();
    store.add(point(100, 'claims', '', 7));
    store.add(point(100, 'claims', '/a', 3));
    expect(store.sample('claims', '', 100).rps).toBe(7);
  });

  test('without one, rates add up and error rates weigh by rate', () => {
    const store = new SeriesStore();
    store.add(point(100, 'claims', '/a', 30, 0));
    store.add(point(100, 'claims', '/b', 10, 0.4));
    expect(store.sample('claims', '', 100)).toMatchObject({ rps: 40, error_rate: 0.1 });
    expect(store.routeNames('claims')).toEqual(['/a', '/b']);
  });

  test('history fills holes and never overwrites the stream', () => {
    const store = new SeriesStore();
    store.add(point(100, 'claims', '/a', 30));
    store.fill('claims', '/a', 102, 5, [9, 0, 1, 2, 3]);
    expect(store.slice('claims', '/a', 97, 102, 'rps')).toEqual([null, 9, 9, 30, 9, 9]);
  });

  test('a covered second without a point had no requests; one that was lost is not known', () => {
    const store = new SeriesStore();
    store.add(point(100, 'claims', '/a', 30));
    store.add(point(106, 'claims', '/a', 30));
    expect(store.slice('claims', '/a', 99, 103, 'rps')).toEqual([null, 30, 0, 0, 0]);
    expect(store.slice('claims', '/a', 102, 102, 'p99')).toEqual([undefined]);
    store.breakOff();
    store.add(point(115, 'claims', '/a', 30));
    expect(store.slice('claims', '', 106, 110, 'rps')).toEqual([30, null, null, null, null]);
  });

  test('what lies between history and the first live point is not taken for silence', () => {
    const store = new SeriesStore();
    store.fill('claims', '/a', 100, 5, [9, 0, 1, 2, 3]);
    store.coverRange(90, 100);
    store.add(point(104, 'claims', '/a', 30));
    store.add(point(110, 'claims', '/a', 30));
    expect(store.slice('claims', '/a', 94, 106, 'rps')).toEqual([0, 0, 9, 9, 9, 9, 9, null, null, null, 30, 0, 0]);
  });

  test('time goes on while nobody calls', () => {
    const store = new SeriesStore();
    store.add(point(100, 'claims', '/a', 30));
    store.advance(120);
    expect(store.newestSecond).toBe(120);
    expect(store.recent('claims', '', 10).rps).toBe(0);
  });

  test('the number of series is bounded: silent ones make room, busy ones stay', () => {
    const store = new SeriesStore();
    store.add(point(1000, 'silent', '/'));
    for (let index = 1; index < MAX_SERIES; index++) store.add(point(1100, 'busy', `/${index}`));
    store.add(point(1100, 'new', '/'));
    expect(store.serviceNames()).toEqual(['busy', 'new']);
    store.add(point(1100, 'newer', '/'));
    expect(store.serviceNames()).toEqual(['busy', 'new']);
    expect([store.seriesCount, store.refusedCount]).toEqual([MAX_SERIES, 1]);
  });
});
