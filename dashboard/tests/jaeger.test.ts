import { describe, expect, test } from 'vitest';
import { parseTrace, summarise } from '../src/lib/jaeger';

const raw = {
  traceID: 'abc',
  spans: [
    {
      traceID: 'abc', spanID: 'b', operationName: 'GET /claims/{id}', startTime: 1_000_010_000, duration: 4_000_000, processID: 'p2',
      references: [{ refType: 'CHILD_OF', traceID: 'abc', spanID: 'a' }],
      tags: [{ key: 'error', type: 'bool', value: true }, { key: 'http.response.status_code', type: 'int64', value: 500 }],
      logs: [{ timestamp: 1_000_020_000, fields: [{ key: 'event', type: 'string', value: '<b>slow</b>' }] }],
    },
    { traceID: 'abc', spanID: 'a', operationName: 'GET /', startTime: 1_000_000_000, duration: 4_100_000, processID: 'p1', references: [], tags: [] },
    { traceID: 'abc', spanID: 'broken', startTime: 'x', duration: 1 },
  ],
  processes: { p1: { serviceName: 'ui' }, p2: { serviceName: 'claims' } },
};

describe('parseTrace', () => {
  test('times become milliseconds, processes become services, errors are seen', () => {
    const trace = parseTrace(raw);
    expect(trace.spans).toHaveLength(2);
    expect(trace.left_out).toBe(1);
    expect(trace.duration).toBe(4100);
    const claims = trace.spans[0]!;
    expect(claims).toMatchObject({ service: 'claims', parentId: 'a', start: 1_000_010, duration: 4000, error: true });
    expect(claims.events[0]!.fields[0]).toEqual({ key: 'event', value: '<b>slow</b>' });
  });

  test('what the collector left out is said', () => {
    expect(parseTrace({ ...raw, warnings: ['only the first 2 spans are shown', 7] }).warnings).toEqual(['only the first 2 spans are shown', '7']);
    expect(parseTrace({ ...raw, warnings: null }).warnings).toEqual([]);
  });

  test('hostile shapes give an empty trace, never an exception', () => {
    for (const hostile of [null, 7, [], {}, { spans: 'x' }, { spans: [null, 1, []] }, { spans: [{ spanID: {}, tags: { a: 1 } }], processes: [] }]) {
      expect(parseTrace(hostile).spans.length).toBeLessThanOrEqual(1);
    }
  });

  test('error=false is not an error', () => {
    const tags = [{ key: 'error', value: false }];
    expect(parseTrace({ spans: [{ spanID: 'a', startTime: 1, duration: 1, tags }] }).spans[0]!.error).toBe(false);
  });
});

describe('summarise', () => {
  test('names the root and counts spans and errors per service', () => {
    const summary = summarise(parseTrace(raw));
    expect(summary).toMatchObject({ service: 'ui', name: 'GET /', spans: 2, errors: 1 });
    expect(summary.services.map((service) => service.name)).toEqual(['ui', 'claims']);
  });
});
