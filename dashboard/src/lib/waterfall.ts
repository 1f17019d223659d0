// waterfall.ts: a trace's spans as rows: tree order, place in time, time of its own, and the chain that made the caller wait.
//
// A span whose parent is missing becomes a root; the spans of a cycle become roots too. One exception: a service that passes on x-trace
// but not traceparent leaves its own calls without a parent. Such a call is put below the request of the same service that was being served
// meanwhile, and the row says that this is inferred. Times are milliseconds. Pure.
// Tests: tests/waterfall.test.ts.
import type { Span, Trace } from './jaeger';

export interface Row {
  readonly span: Span;
  readonly depth: number;
  readonly children: number;
  /// Rows below this one that belong to it.
  readonly descendants: number;
  /// Place of the bar, as shares of the whole trace.
  readonly left: number;
  readonly width: number;
  /// Time in which none of the span's children ran.
  readonly selfTime: number;
  /// Whether the span lies on the critical path, and for how long the path stays in the span itself.
  readonly critical: boolean;
  readonly criticalTime: number;
  /// Where the path stays in the span itself, as places and widths in the whole trace.
  readonly segments: readonly { readonly left: number; readonly width: number }[];
  /// True when the span names a parent that is not in the trace.
  readonly orphan: boolean;
  /// True when its place below its parent was told by time and service, not by its own words.
  readonly inferred: boolean;
}

export interface Waterfall {
  readonly rows: readonly Row[];
  readonly slowest: Row | null;
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

interface Tree {
  readonly roots: readonly Span[];
  readonly children: ReadonlyMap<Span, readonly Span[]>;
  readonly inferred: ReadonlySet<Span>;
}

/// Clocks of one sidecar agree; what is allowed for is rounding.
const SAME_TIME_MS = 2;

/// The request of the same service during which `call` ran; the one that began last, if there are several.
function servedMeanwhile(call: Span, spans: readonly Span[]): Span | undefined {
  if (call.kind.toLowerCase() !== 'client') return undefined;
  let best: Span | undefined;
  for (const span of spans) {
    if (span.service !== call.service || span.kind.toLowerCase() !== 'server') continue;
    if (span.start > call.start + SAME_TIME_MS || span.start + span.duration < call.start + call.duration - SAME_TIME_MS) continue;
    if (!best || span.start > best.start) best = span;
  }
  return best;
}

function byStart(left: Span, right: Span): number {
  return left.start - right.start || right.duration - left.duration;
}

/// The parent among spans that may share an id: a client and a server span of one call in Zipkin's manner do.
function buildTree(spans: readonly Span[]): Tree {
  const byId = new Map<string, Span>();
  for (const span of spans) if (!byId.has(span.id)) byId.set(span.id, span);
  const children = new Map<Span, Span[]>();
  const roots: Span[] = [];
  const inferred = new Set<Span>();
  for (const span of spans) {
    const named = span.parentId === null ? undefined : byId.get(span.parentId);
    const parent = named ?? servedMeanwhile(span, spans);
    if (!named && parent) inferred.add(span);
    if (!parent || isAncestor(span, parent, byId)) {
      roots.push(span);
      continue;
    }
    const siblings = children.get(parent);
    if (siblings) siblings.push(span);
    else children.set(parent, [span]);
  }
  for (const list of children.values()) list.sort(byStart);
  return { roots: roots.sort(byStart), children, inferred };
}

/// Whether following parents from `start` leads to `candidate`: then making `start` its parent would close a cycle.
function isAncestor(candidate: Span, start: Span, byId: ReadonlyMap<string, Span>): boolean {
  const seen = new Set<Span>();
  let current: Span | undefined = start;
  while (current && !seen.has(current)) {
    if (current === candidate) return true;
    seen.add(current);
    current = current.parentId === null ? undefined : byId.get(current.parentId);
  }
  return false;
}

/// The part of `span` that none of `children` covers. Overlapping children count once; what sticks out of the span does not count.
export function selfTime(span: Span, children: readonly Span[]): number {
  const end = span.start + span.duration;
  let covered = 0;
  let reached = span.start;
  for (const child of [...children].sort(byStart)) {
    const from = Math.max(reached, child.start);
    const to = Math.min(end, child.start + child.duration);
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return Math.max(0, span.duration - covered);
}

/// Walks back from the end of each span: the child that ended last before the point is what was waited for, the rest is the span's own.
/// Gives the stretches of time that the path spends in each span itself.
export function criticalPath(root: Span, children: ReadonlyMap<Span, readonly Span[]>): Map<Span, readonly Stretch[]> {
  const own = new Map<Span, readonly Stretch[]>();
  const stack: { span: Span; until: number }[] = [{ span: root, until: root.start + root.duration }];
  while (stack.length > 0) {
    const { span, until } = stack.pop()!;
    if (own.has(span)) continue;
    const end = Math.min(until, span.start + span.duration);
    let point = end;
    const spent: Stretch[] = [];
    const latestFirst = [...(children.get(span) ?? [])].sort((a, b) => b.start + b.duration - (a.start + a.duration));
    for (const child of latestFirst) {
      const childEnd = Math.min(child.start + child.duration, point);
      const childStart = Math.max(child.start, span.start);
      if (childEnd <= childStart || child.start >= point) continue;
      // A child that outlived the point it was waited for ran beside the path, not on it.
      if (child.start + child.duration > point + 0.001 && point < end) continue;
      if (point > childEnd) spent.push({ from: childEnd, to: point });
      stack.push({ span: child, until: childEnd });
      point = childStart;
    }
    if (point > span.start) spent.push({ from: span.start, to: point });
    own.set(span, spent.reverse());
  }
  return own;
}

export function layOut(trace: Trace): Waterfall {
  const { roots, children, inferred } = buildTree(trace.spans);
  const ids = new Set(trace.spans.map((span) => span.id));
  const longestRoot = roots.reduce<Span | undefined>((most, span) => (!most || span.duration > most.duration ? span : most), undefined);
  const path = longestRoot ? criticalPath(longestRoot, children) : new Map<Span, readonly Stretch[]>();
  const total = trace.duration || 1;
  const rows: Row[] = [];
  const visited = new Set<Span>();

  const visit = (span: Span, depth: number): number => {
    if (visited.has(span)) return 0;
    visited.add(span);
    const own = children.get(span) ?? [];
    const place = rows.length;
    rows.push({} as Row);
    let descendants = 0;
    for (const child of own) descendants += visit(child, depth + 1);
    rows[place] = {
      span,
      depth,
      children: own.length,
      descendants,
      left: clampShare((span.start - trace.start) / total),
      width: clampShare(span.duration / total),
      selfTime: selfTime(span, own),
      critical: path.has(span),
      criticalTime: (path.get(span) ?? []).reduce((sum, { from, to }) => sum + to - from, 0),
      segments: (path.get(span) ?? []).map(({ from, to }) => ({ left: clampShare((from - trace.start) / total), width: clampShare((to - from) / total) })),
      orphan: span.parentId !== null && !ids.has(span.parentId),
      inferred: inferred.has(span),
    };
    return descendants + 1;
  };
  for (const root of roots) visit(root, 0);

  const slowest = rows.reduce<Row | null>((most, row) => (row.critical && (!most || row.criticalTime > most.criticalTime) ? row : most), null);
  return { rows, slowest };
}

function clampShare(share: number): number {
  return Math.min(1, Math.max(0, share));
}

/// Round marks for the time axis: about `count` of them, from 0.
export function timeMarks(duration: number, count: number): number[] {
  if (duration <= 0) return [0];
  const rough = duration / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power * 10;
  const marks: number[] = [];
  for (let mark = 0; mark <= duration * 1.0001; mark += step) marks.push(mark);
  return marks;
}
