// ledger.ts: /ops/ledger: what each sender's telemetry came to. Names are read with their likely spellings, numbers are checked.
import { parseMoment } from '../lib/format';
import { getJson } from './api';

export interface Sender {
  readonly name: string;
  readonly service: string;
  readonly batches: Counts;
  readonly records: Counts;
  readonly dropped: readonly { readonly reason: string; readonly count: number }[];
  readonly lastSeen: number | null;
}

export interface Counts {
  readonly received: number;
  readonly stored: number;
  readonly repeated: number;
  readonly missing: number;
}

type Json = Record<string, unknown>;

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function counts(sender: Json, kind: 'batches' | 'records'): Counts {
  const nested = object(sender[kind]);
  const read = (name: string) => {
    const value = nested[name] ?? sender[`${kind}_${name}`] ?? 0;
    return typeof value === 'number' && Number.isFinite(value) ? value : 0;
  };
  return { received: read('received'), stored: read('stored'), repeated: read('repeated'), missing: read('missing') };
}

export function parseLedger(reply: unknown): Sender[] {
  const inner = object(reply).senders ?? object(reply).data ?? reply;
  const list = Array.isArray(inner) ? inner.map(object) : Object.entries(object(inner)).map(([name, value]) => ({ sender: name, ...object(value) }) as Json);
  return list.map((sender) => ({
    name: String(sender.instance ?? sender.sender ?? sender.id ?? ''),
    service: String(sender.service ?? ''),
    batches: counts(sender, 'batches'),
    records: counts(sender, 'records'),
    dropped: Object.entries(object(sender.dropped)).map(([reason, count]) => ({ reason, count: Number(count) || 0 })),
    lastSeen: parseMoment(sender.last_seen ?? sender.lastSeen ?? sender.last_batch_at),
  }));
}

export async function loadLedger(signal?: AbortSignal): Promise<Sender[]> {
  return parseLedger(await getJson('ops/ledger', {}, signal));
}

/// The share of what was produced that is stored. A batch that never came counts as the average batch.
export function completeness(senders: readonly Sender[]): number | null {
  let stored = 0;
  let lost = 0;
  for (const sender of senders) {
    const perBatch = sender.batches.stored > 0 ? sender.records.stored / sender.batches.stored : 1;
    stored += sender.records.stored;
    lost += sender.batches.missing * perBatch + sender.dropped.reduce((sum, drop) => sum + drop.count, 0);
  }
  return stored + lost > 0 ? stored / (stored + lost) : null;
}
