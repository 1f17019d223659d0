// jaeger.ts: Jaeger's v1 trace JSON into what the page draws. Everything in it came over the network from strangers: sizes are bounded,
// types are checked, and a span that makes no sense is left out and counted.
//
// Times in the result are Unix milliseconds (with fractions). Tests: tests/jaeger.test.ts.

export interface SpanLog {
  readonly time: number;
  readonly fields: readonly Attribute[];
}

export interface Attribute {
  readonly key: string;
  readonly value: string;
}

export interface Span {
  readonly id: string;
  readonly parentId: string | null;
  readonly service: string;
  readonly name: string;
  readonly kind: string;
  readonly start: number;
  readonly duration: number;
  readonly error: boolean;
  readonly attributes: readonly Attribute[];
  readonly events: readonly SpanLog[];
  readonly warnings: readonly string[];
}

export interface Trace {
  readonly id: string;
  /// The text of the x-trace header, where it is not the id itself.
  readonly xTrace: string;
  readonly spans: readonly Span[];
  readonly start: number;
  readonly duration: number;
  readonly left_out: number;
  /// What the collector left out, or could not read.
  readonly warnings: readonly string[];
}

/// A trace with more spans is cut: the browser draws no more rows than a person reads.
export const MAX_SPANS = 5000;
const MAX_ATTRIBUTES = 256;
const MAX_VALUE = 16_384;
const MAX_WARNINGS = 20;

type Json = Record<string, unknown>;

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  if (typeof value === 'string') return value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}…` : value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return value === null || value === undefined ? '' : JSON.stringify(value).slice(0, MAX_VALUE);
}

function attributes(value: unknown): Attribute[] {
  return list(value)
    .slice(0, MAX_ATTRIBUTES)
    .map((entry) => ({ key: text(object(entry).key), value: text(object(entry).value) }))
    .filter((entry) => entry.key !== '');
}

function isError(tags: readonly Attribute[]): boolean {
  return tags.some(
    ({ key, value }) =>
      (key === 'error' && value !== 'false' && value !== '') ||
      (key === 'otel.status_code' && value.toUpperCase() === 'ERROR') ||
      (key === 'http.response.status_code' && value.startsWith('5')),
  );
}

function parentOf(span: Json): string | null {
  const references = list(span.references).map(object);
  // A FOLLOWS_FROM may point into another trace: then it is a link, not a parent.
  const parent = references.find((reference) => reference.refType === 'CHILD_OF') ?? references.find((reference) => reference.traceID === span.traceID);
  const id = text(parent?.spanID ?? span.parentSpanID);
  return id === '' || /^0+$/.test(id) ? null : id;
}

function parseSpan(raw: unknown, services: ReadonlyMap<string, string>): Span | null {
  const span = object(raw);
  const id = text(span.spanID);
  const start = Number(span.startTime);
  const duration = Number(span.duration);
  if (id === '' || !Number.isFinite(start) || !Number.isFinite(duration) || duration < 0) return null;
  const tags = attributes(span.tags);
  const service = services.get(text(span.processID)) ?? text(object(span.process).serviceName);
  return {
    id,
    parentId: parentOf(span),
    service: service || 'unknown',
    name: text(span.operationName) || 'unnamed',
    kind: tags.find((tag) => tag.key === 'span.kind')?.value ?? '',
    start: start / 1000,
    duration: duration / 1000,
    error: isError(tags),
    attributes: tags,
    events: list(span.logs).map((entry) => ({ time: Number(object(entry).timestamp) / 1000, fields: attributes(object(entry).fields) })),
    warnings: list(span.warnings).map(text),
  };
}

export function parseTrace(raw: unknown): Trace {
  const trace = object(raw);
  const services = new Map(Object.entries(object(trace.processes)).map(([key, value]) => [key, text(object(value).serviceName)]));
  const rawSpans = list(trace.spans);
  const seen = new Set<string>();
  const spans: Span[] = [];
  for (const rawSpan of rawSpans.slice(0, MAX_SPANS)) {
    const span = parseSpan(rawSpan, services);
    if (span === null || seen.has(`${span.id}/${span.kind}`)) continue;
    seen.add(`${span.id}/${span.kind}`);
    spans.push(span);
  }
  const start = spans.reduce((least, span) => Math.min(least, span.start), Infinity);
  const end = spans.reduce((most, span) => Math.max(most, span.start + span.duration), -Infinity);
  return {
    id: text(trace.traceID),
    xTrace: text(trace.xTrace),
    spans,
    start: spans.length ? start : 0,
    duration: spans.length ? end - start : 0,
    left_out: rawSpans.length - spans.length,
    warnings: list(trace.warnings).slice(0, MAX_WARNINGS).map(text),
  };
}

export interface TraceSummary {
  readonly id: string;
  readonly service: string;
  readonly name: string;
  readonly start: number;
  readonly duration: number;
  readonly spans: number;
  readonly errors: number;
  /// Services in the order of their first span, with the number of spans of each.
  readonly services: readonly { readonly name: string; readonly spans: number; readonly errors: number }[];
}

/// One line of the result list.
export function summarise(trace: Trace): TraceSummary {
  const ids = new Set(trace.spans.map((span) => span.id));
  const roots = trace.spans.filter((span) => span.parentId === null || !ids.has(span.parentId));
  const root = roots.reduce<Span | undefined>((first, span) => (!first || span.start < first.start ? span : first), undefined);
  const counts = new Map<string, { name: string; spans: number; errors: number }>();
  for (const span of [...trace.spans].sort((left, right) => left.start - right.start)) {
    const entry = counts.get(span.service) ?? { name: span.service, spans: 0, errors: 0 };
    entry.spans++;
    if (span.error) entry.errors++;
    counts.set(span.service, entry);
  }
  return {
    id: trace.id,
    service: root?.service ?? 'unknown',
    name: root?.name ?? 'unnamed',
    start: trace.start,
    duration: trace.duration,
    spans: trace.spans.length,
    errors: trace.spans.filter((span) => span.error).length,
    services: [...counts.values()],
  };
}
