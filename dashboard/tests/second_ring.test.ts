import { describe, expect, test } from 'vitest';
import { SecondRing } from '../src/lib/second_ring';

describe('SecondRing', () => {
  test('gives back what was written and null for seconds never seen', () => {
    const ring = new SecondRing(10, 2);
    ring.write(100, [1, 2]);
    ring.write(103, [4, null]);
    expect(ring.slice(99, 104, 0)).toEqual([null, 1, null, null, 4, null]);
    expect(ring.read(103, 1)).toBeNull();
  });

  test('forgets what is older than its capacity, also after a long silence', () => {
    const ring = new SecondRing(10, 1);
    ring.write(100, [1]);
    ring.write(109, [2]);
    expect(ring.read(100, 0)).toBe(1);
    ring.write(110, [3]);
    expect(ring.read(100, 0)).toBeNull();
    ring.write(5000, [9]);
    expect(ring.slice(4991, 5000, 0)).toEqual([...Array(9).fill(null), 9]);
  });

  test('takes late seconds inside the window and refuses those outside', () => {
    const ring = new SecondRing(10, 1);
    ring.write(100, [1]);
    expect(ring.write(95, [5])).toBe(true);
    expect(ring.write(90, [6])).toBe(false);
    expect(ring.slice(94, 96, 0)).toEqual([null, 5, null]);
  });

  test('a repeated second overwrites, so a resumed stream may repeat events', () => {
    const ring = new SecondRing(10, 1);
    ring.write(100, [1]);
    ring.write(100, [2]);
    expect(ring.slice(100, 100, 0)).toEqual([2]);
  });
});
