import { describe, expect, test } from 'vitest';
import * as format from '../src/lib/format';

describe('format', () => {
  test('durations use the unit that needs the fewest digits', () => {
    const cases: [number | null, string][] = [
      [null, '–'], [0, '0 ms'], [0.231, '231 µs'], [4.2, '4.20 ms'], [42.04, '42.0 ms'], [231, '231 ms'],
      [999.6, '1.00 s'], [4012, '4.01 s'], [59_960, '1 m 0 s'], [192_000, '3 m 12 s'], [7_500_000, '2 h 5 m'],
    ];
    for (const [ms, text] of cases) expect(format.formatDuration(ms)).toBe(text);
  });

  test('a share never rounds a real error away', () => {
    expect(format.formatShare(0)).toBe('0 %');
    expect(format.formatShare(0.00001)).toBe('<0.01 %');
    expect(format.formatShare(0.17)).toBe('17.0 %');
    expect(format.formatShare(0.99995)).toBe('>99.99 %');
    expect(format.formatShare(1)).toBe('100 %');
    expect(format.formatShare(NaN)).toBe('–');
  });

  test('rates and counts keep three digits', () => {
    expect(format.formatRate(0)).toBe('0');
    expect(format.formatRate(0.001)).toBe('<0.01');
    expect(format.formatRate(12.345)).toBe('12.3');
    expect(format.formatRate(1234)).toBe('1234');
    expect(format.formatCount(12_345)).toBe('12.3k');
    expect(format.formatCount(4_200_000)).toBe('4.20M');
  });

  test('durations typed by hand are read with their unit', () => {
    expect(format.parseDurationMs('250ms')).toBe(250);
    expect(format.parseDurationMs('1.5 s')).toBe(1500);
    expect(format.parseDurationMs('300')).toBe(300);
    expect(format.parseDurationMs('fast')).toBeNull();
  });

  test('moments are recognised by their size, or as ISO 8601', () => {
    const expected = Date.UTC(2026, 10, 22, 3, 7, 42);
    for (const value of [expected / 1000, expected, expected * 1000, expected * 1e6, '2026-11-22T03:07:42Z', String(expected)]) {
      expect(format.parseMoment(value)).toBeCloseTo(expected, -1);
    }
    expect(format.parseMoment('soon')).toBeNull();
    expect(format.parseMoment(0)).toBeNull();
  });

  test('what lies ahead and behind is told apart', () => {
    expect(format.formatAgo(1000, 13_000)).toBe('12 s ago');
    expect(format.formatAgo(73_000, 13_000)).toBe('in 1 m 0 s');
  });
});
