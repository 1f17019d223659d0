import { describe, expect, test } from 'vitest';
import { formatHash, parseHash } from '../src/lib/hash_route';
import { placeServices } from '../src/lib/map_layout';
import { mixtureQuantile } from '../src/lib/mixture';
import { parseMatrix, promql, quoteLabel } from '../src/lib/prometheus';

describe('hash routes', () => {
  test('what is written is read back, slashes and all', () => {
    const hash = formatHash('service', 'claims/α', { route: 'GET /claims/{id}?x=1&y', empty: '', none: null });
    expect(parseHash(hash)).toEqual({ view: 'service', segment: 'claims/α', params: { route: 'GET /claims/{id}?x=1&y' } });
  });

  test('an empty or broken address opens the overview', () => {
    expect(parseHash('').view).toBe('overview');
    expect(parseHash('#/trace/%E0%A4%A')).toMatchObject({ view: 'trace', segment: '%E0%A4%A' });
  });
});

describe('map layout', () => {
  test('callers stand left of what they call', () => {
    const placed = placeServices(['store', 'ui', 'claims'], [{ from: 'ui', to: 'claims' }, { from: 'claims', to: 'store' }, { from: 'ui', to: 'store' }]);
    expect(Object.fromEntries(placed.map((one) => [one.name, one.layer]))).toEqual({ ui: 0, claims: 1, store: 2 });
  });

  test('two chains beside each other do not cross', () => {
    const edges = [{ from: 'a', to: 'y' }, { from: 'b', to: 'x' }, { from: 'y', to: 'q' }, { from: 'x', to: 'p' }, { from: 'p', to: 'z' }];
    const row = Object.fromEntries(placeServices([], edges).map((one) => [one.name, one.row]));
    expect([row.a, row.y, row.q]).toEqual([row.a, row.a, row.a]);
    expect([row.b, row.x, row.p]).toEqual([row.b, row.b, row.b]);
    expect(row.a).not.toBe(row.b);
  });

  test('cycles and loops on oneself end', () => {
    const placed = placeServices([], [{ from: 'a', to: 'b' }, { from: 'b', to: 'a' }, { from: 'a', to: 'a' }]);
    expect(placed.map((one) => one.name).sort()).toEqual(['a', 'b']);
  });
});

describe('mixture', () => {
  test('one route is taken as it is', () => {
    expect(mixtureQuantile([{ count: 5, p50: 10, p95: 20, p99: 30 }, { count: 0, p50: null, p95: null, p99: null }], 0.95)).toBe(20);
  });

  test('a rare slow route does not become the p99 of everything', () => {
    const parts = [{ count: 9999, p50: 5, p95: 10, p99: 12 }, { count: 1, p50: 4000, p95: 4000, p99: 4000 }];
    expect(mixtureQuantile(parts, 0.99)!).toBeLessThan(20);
  });

  test('nothing gives nothing', () => {
    expect(mixtureQuantile([], 0.5)).toBeNull();
  });
});

describe('prometheus', () => {
  test('label values cannot leave their quotes', () => {
    expect(quoteLabel('a"b\\c\n')).toBe('"a\\"b\\\\c\\n"');
  });

  test('measures become questions', () => {
    expect(promql('p99', { service: 'claims' }, 10, ['service_name'])).toBe(
      'histogram_quantile(0.99, sum by (service_name) (rate(http_server_request_duration_seconds{service_name="claims"}[10s])))',
    );
  });

  test('a matrix loses what cannot be drawn', () => {
    const data = { resultType: 'matrix', result: [{ metric: { service_name: 'a' }, values: [[1, '2'], [2, 'NaN'], [3, '+Inf']] }] };
    expect(parseMatrix(data)).toEqual([{ labels: { service_name: 'a' }, points: [[1, 2]] }]);
    expect(parseMatrix(null)).toEqual([]);
  });
});
