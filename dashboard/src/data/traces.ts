// traces.ts: trace search and single traces over the collector's Jaeger API.
import { parseTrace, summarise, type Trace, type TraceSummary } from '../lib/jaeger';
import { ApiError, getJson } from './api';

export interface TraceQuery {
  readonly service: string;
  readonly operation: string;
  readonly minDurationMs: number | null;
  readonly maxDurationMs: number | null;
  readonly errorsOnly: boolean;
  readonly tags: Readonly<Record<string, string>>;
  readonly limit: number;
  /// Unix milliseconds.
  readonly start: number;
  readonly end: number;
}

export async function loadServices(signal?: AbortSignal): Promise<string[]> {
  const reply = (await getJson('api/services', {}, signal)) as { data?: unknown } | null;
  return (Array.isArray(reply?.data) ? reply.data : []).map(String).sort();
}

export async function loadOperations(service: string, signal?: AbortSignal): Promise<string[]> {
  const reply = (await getJson(`api/services/${encodeURIComponent(service)}/operations`, {}, signal)) as { data?: unknown } | null;
  const list = Array.isArray(reply?.data) ? reply.data : [];
  return list.map((entry) => (typeof entry === 'string' ? entry : String((entry as { name?: unknown }).name ?? ''))).filter(Boolean).sort();
}

/// Newest first. An empty service asks for all of them.
export async function searchTraces(query: TraceQuery, signal?: AbortSignal): Promise<TraceSummary[]> {
  const tags = query.errorsOnly ? { ...query.tags, error: 'true' } : query.tags;
  const duration = (ms: number | null) => (ms === null ? null : `${Math.round(ms * 1000)}us`);
  const reply = (await getJson(
    'api/traces',
    {
      service: query.service,
      operation: query.operation,
      minDuration: duration(query.minDurationMs),
      maxDuration: duration(query.maxDurationMs),
      tags: Object.keys(tags).length ? JSON.stringify(tags) : null,
      limit: query.limit,
      start: Math.round(query.start * 1000),
      end: Math.round(query.end * 1000),
    },
    signal,
  )) as { data?: unknown } | null;
  const found = (Array.isArray(reply?.data) ? reply.data : []).map((raw) => summarise(parseTrace(raw)));
  return found.sort((left, right) => right.start - left.start);
}

/// By trace-id or by the text of an x-trace.
export async function loadTrace(id: string, signal?: AbortSignal): Promise<Trace> {
  const reply = (await getJson(`api/traces/${encodeURIComponent(id)}`, {}, signal)) as { data?: unknown } | null;
  const first = Array.isArray(reply?.data) ? reply.data[0] : null;
  if (!first) throw new ApiError(404, `No trace has the id "${id}".`);
  return parseTrace(first);
}
