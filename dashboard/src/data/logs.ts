// logs.ts: /ops/logs, newest first, page by page.
import { parseMoment } from '../lib/format';
import { getJson, type Params } from './api';

export interface LogRecord {
  readonly time: number | null;
  readonly level: string;
  readonly severity: string;
  readonly service: string;
  readonly traceId: string;
  readonly message: string;
  readonly fields: readonly { readonly key: string; readonly value: string }[];
}

export interface LogPage {
  readonly logs: readonly LogRecord[];
  readonly cursor: string | null;
}

const KNOWN = new Set(['ts', 'level', 'severity', 'service', 'traceId', 'msg']);
const MAX_FIELDS = 64;
const MAX_TEXT = 8192;

function text(value: unknown): string {
  const plain = typeof value === 'string' ? value : value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  return plain.length > MAX_TEXT ? `${plain.slice(0, MAX_TEXT)}…` : plain;
}

export function parseLog(raw: unknown): LogRecord {
  const log = (raw ?? {}) as Record<string, unknown>;
  const rest = Object.entries(log).filter(([key]) => !KNOWN.has(key)).slice(0, MAX_FIELDS);
  return {
    time: parseMoment(log.ts),
    level: text(log.level).toLowerCase(),
    severity: text(log.severity).toLowerCase(),
    service: text(log.service),
    traceId: text(log.traceId),
    message: text(log.msg),
    fields: rest.map(([key, value]) => ({ key, value: text(value) })),
  };
}

export async function loadLogs(params: Params, signal?: AbortSignal): Promise<LogPage> {
  const reply = (await getJson('ops/logs', params, signal)) as { logs?: unknown; cursor?: unknown } | null;
  return {
    logs: (Array.isArray(reply?.logs) ? reply.logs : []).map(parseLog),
    cursor: typeof reply?.cursor === 'string' && reply.cursor ? reply.cursor : null,
  };
}
