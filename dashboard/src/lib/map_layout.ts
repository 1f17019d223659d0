// map_layout.ts: where the boxes of the service map stand: callers left, callees right, as few crossings as a simple sweep gives.
//
// Pure and deterministic: the same map always looks the same. Tests: tests/map_layout.test.ts.

export interface MapEdge {
  readonly from: string;
  readonly to: string;
}

export interface Placed {
  readonly name: string;
  readonly layer: number;
  /// Place within the layer, from 0, and how many share the layer.
  readonly row: number;
  readonly rows: number;
}

/// The longest way from any entry, with back edges (those that close a cycle) left out.
function layersOf(names: readonly string[], edges: readonly MapEdge[]): Map<string, number> {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) if (from !== to) next.set(from, [...(next.get(from) ?? []), to]);
  const called = new Set(edges.filter(({ from, to }) => from !== to).map(({ to }) => to));
  const layers = new Map<string, number>();
  const walk = (name: string, depth: number, trail: ReadonlySet<string>): void => {
    if (trail.has(name) || (layers.get(name) ?? -1) >= depth) return;
    layers.set(name, depth);
    const longer = new Set(trail).add(name);
    for (const callee of next.get(name) ?? []) walk(callee, depth + 1, longer);
  };
  for (const name of names) if (!called.has(name)) walk(name, 0, new Set());
  for (const name of names) if (!layers.has(name)) walk(name, 0, new Set());
  return layers;
}

function average(values: readonly number[], otherwise: number): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : otherwise;
}

export function placeServices(names: readonly string[], edges: readonly MapEdge[]): Placed[] {
  const known = [...new Set([...names, ...edges.flatMap(({ from, to }) => [from, to])])].sort();
  const layers = layersOf(known, edges);
  const columns: string[][] = [];
  for (const name of known) (columns[layers.get(name) ?? 0] ??= []).push(name);
  for (let layer = 0; layer < columns.length; layer++) columns[layer] ??= [];
  sweep(columns, edges);
  return columns.flatMap((column, layer) => column.map((name, row) => ({ name, layer, row, rows: column.length })));
}

/// Four passes of the barycentre rule: down with the callers fixed, then up with the callees, each column seeing those already moved.
function sweep(columns: string[][], edges: readonly MapEdge[]): void {
  const place = new Map<string, number>();
  const settle = (column: readonly string[]) => column.forEach((name, row) => place.set(name, (row + 0.5) / column.length));
  columns.forEach(settle);
  for (let pass = 0; pass < 4; pass++) {
    const down = pass % 2 === 0;
    for (const column of down ? columns : [...columns].reverse()) {
      const weight = new Map(
        column.map((name) => {
          const near = edges.flatMap(({ from, to }) => (down ? (to === name ? [from] : []) : from === name ? [to] : []));
          return [name, average(near.map((other) => place.get(other) ?? 0.5), place.get(name) ?? 0.5)] as const;
        }),
      );
      column.sort((left, right) => weight.get(left)! - weight.get(right)! || place.get(left)! - place.get(right)!);
      settle(column);
    }
  }
}
