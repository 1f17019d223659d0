import { describe, expect, test } from 'vitest';
import type { Span, Trace } from '../src/lib/jaeger';
import { layOut, selfTime, timeMarks } from '../src/lib/waterfall';

function span(id: string, parentId: string | null, start: number, duration: number): Span {
  return { id, parentId, start, duration, service: id, name: id, kind: '', error: false, attributes: [], events: [], warnings: [] };
}

function trace(...spans: Span[]): Trace {
  const start = Math.min(...spans.map((one) => one.start));
  const end = Math.max(...spans.map((one) => one.start + one.duration));
  return { id: 't', xTrace: '', spans, start, duration: end - start, left_out: 0, warnings: [] };
}

describe('layOut', () => {
  test('rows follow the tree, children by start', () => {
    const rows = layOut(trace(span('store', 'claims', 30, 50), span('ui', null, 0, 100), span('audit', 'claims', 20, 5), span('claims', 'ui', 10, 80))).rows;
    expect(rows.map((row) => [row.span.id, row.depth])).toEqual([['ui', 0], ['claims', 1], ['audit', 2], ['store', 2]]);
    expect(rows[1]).toMatchObject({ left: 0.1, width: 0.8, selfTime: 25, descendants: 2 });
  });

  test('the critical path goes through the child that was waited for, and the slowest hop is on it', () => {
    const result = layOut(trace(span('ui', null, 0, 100), span('fast', 'ui', 5, 60), span('slow', 'ui', 5, 90), span('store', 'slow', 10, 80)));
    const critical = Object.fromEntries(result.rows.map((row) => [row.span.id, row.critical]));
    expect(critical).toEqual({ ui: true, fast: false, slow: true, store: true });
    expect(result.slowest?.span.id).toBe('store');
    expect(result.rows.reduce((sum, row) => sum + row.criticalTime, 0)).toBeCloseTo(100);
  });

  test('sequential children are all on the path', () => {
    const result = layOut(trace(span('ui', null, 0, 100), span('first', 'ui', 0, 40), span('second', 'ui', 40, 60)));
    expect(result.rows.filter((row) => row.critical)).toHaveLength(3);
  });

  test('orphans become roots and cycles end', () => {
    const result = layOut(trace(span('a', 'b', 0, 10), span('b', 'a', 0, 10), span('lost', 'gone', 1, 2)));
    expect(result.rows).toHaveLength(3);
    expect(result.rows.find((row) => row.span.id === 'lost')?.orphan).toBe(true);
  });

  test('a call without a parent goes below the request its service was serving, and says that this is inferred', () => {
    const of = (one: Span, service: string, kind: string): Span => ({ ...one, service, kind });
    const result = layOut(
      trace(
        of(span('1', null, 0, 100), 'ui', 'server'),
        of(span('2', null, 1, 98), 'ui', 'client'),
        of(span('3', '2', 2, 96), 'claims', 'server'),
        of(span('4', null, 3, 94), 'claims', 'client'),
        of(span('5', '4', 4, 92), 'store', 'server'),
        of(span('6', null, 150, 20), 'ui', 'client'),
      ),
    );
    expect(result.rows.map((row) => [row.span.id, row.depth, row.inferred])).toEqual([['1', 0, false], ['2', 1, true], ['3', 2, false], ['4', 3, true], ['5', 4, false], ['6', 0, false]]);
    expect(result.slowest?.span.service).toBe('store');
  });

  test('an empty trace and a trace of no duration do not divide by zero', () => {
    expect(layOut({ id: 't', xTrace: '', spans: [], start: 0, duration: 0, left_out: 0, warnings: [] })).toEqual({ rows: [], slowest: null });
    expect(layOut(trace(span('a', null, 5, 0))).rows[0]).toMatchObject({ left: 0, width: 0 });
  });
});

test('overlapping children count once in the time of a span', () => {
  expect(selfTime(span('a', null, 0, 100), [span('b', 'a', 10, 50), span('c', 'a', 40, 40), span('d', 'a', 90, 50)])).toBe(20);
});

test('time marks are round', () => {
  expect(timeMarks(4100, 5)).toEqual([0, 1000, 2000, 3000, 4000]);
  expect(timeMarks(0, 5)).toEqual([0]);
});
