// second_ring.ts: the last N seconds of a series, one slot per second, in fixed memory.
//
// A slot belongs to the second `s` when `s % capacity` points at it and the second lies within the last `capacity` seconds.
// Writing a second twice overwrites it, so a resumed stream may repeat events; a second never written reads as null.
// Limits: capacity * fields * 8 bytes, allocated once. Tests: tests/second_ring.test.ts.

export class SecondRing {
  private readonly columns: Float64Array[];
  private newest = -Infinity;

  constructor(
    readonly capacity: number,
    fields: number,
  ) {
    this.columns = Array.from({ length: fields }, () => new Float64Array(capacity).fill(NaN));
  }

  /// The newest second written, or -Infinity when the ring is empty.
  get newestSecond(): number {
    return this.newest;
  }

  /// Writes one second. Returns false for a second that has already left the window.
  write(second: number, values: readonly (number | null)[]): boolean {
    if (!Number.isInteger(second) || second <= this.newest - this.capacity) return false;
    this.advance(second);
    const slot = this.slot(second);
    for (let field = 0; field < this.columns.length; field++) this.columns[field]![slot] = values[field] ?? NaN;
    return true;
  }

  has(second: number): boolean {
    return this.holds(second) && this.columns.some((column) => !Number.isNaN(column[this.slot(second)]!));
  }

  read(second: number, field: number): number | null {
    if (!this.holds(second)) return null;
    const value = this.columns[field]![this.slot(second)]!;
    return Number.isNaN(value) ? null : value;
  }

  /// Forgets one second.
  erase(second: number): void {
    if (!this.holds(second)) return;
    for (const column of this.columns) column[this.slot(second)] = NaN;
  }

  /// One field from `first` to `last`, both inclusive, a value per second.
  slice(first: number, last: number, field: number): (number | null)[] {
    const values: (number | null)[] = [];
    for (let second = first; second <= last; second++) values.push(this.read(second, field));
    return values;
  }

  private holds(second: number): boolean {
    return second <= this.newest && second > this.newest - this.capacity;
  }

  private slot(second: number): number {
    return ((second % this.capacity) + this.capacity) % this.capacity;
  }

  /// Clears the slots between the old newest second and the new one: they still hold values of one turn ago.
  private advance(second: number): void {
    if (second <= this.newest) return;
    const from = Math.max(this.newest + 1, second - this.capacity + 1);
    for (let stale = from; stale <= second; stale++) {
      const slot = this.slot(stale);
      for (const column of this.columns) column[slot] = NaN;
    }
    this.newest = second;
  }
}
