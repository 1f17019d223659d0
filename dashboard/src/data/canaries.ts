// canaries.ts: canaries and the record of what was decided about them, with the numbers it was decided on.
import { computed, shallowRef } from 'vue';
import { parseMoment } from '../lib/format';
import { describeError, getJson, send } from './api';

export interface Side {
  readonly requests: number | null;
  readonly errors: number | null;
  readonly p99: number | null;
}

export interface Decision {
  readonly time: number | null;
  readonly weight: number;
  readonly verdict: string;
  readonly reason: string;
  readonly baseline: Side;
  readonly canary: Side;
}

export interface Canary {
  readonly name: string;
  readonly service: string;
  readonly baseline: string;
  readonly canary: string;
  readonly steps: readonly number[];
  readonly stepSeconds: number | null;
  readonly limits: { readonly errorRate: number | null; readonly p99: number | null };
  readonly state: string;
  readonly weight: number;
  /// What the step that is under way has seen so far. Null when the canary is over.
  readonly current: { readonly reason: string; readonly baseline: Side; readonly canary: Side } | null;
  readonly record: readonly Decision[];
}

export const canaries = shallowRef<Canary[]>([]);
export const canariesError = shallowRef('');
export const canariesLoaded = shallowRef(false);
export const activeCanaries = computed(() => canaries.value.filter((canary) => canary.state === 'running' || canary.state === 'paused'));

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function side(raw: unknown): Side {
  const part = (raw ?? {}) as Record<string, unknown>;
  return { requests: number(part.requests), errors: number(part.errors), p99: number(part.p99_ms) };
}

function parseCurrent(raw: Record<string, unknown>): Canary['current'] {
  return { reason: String(raw.reason ?? ''), baseline: side(raw.baseline), canary: side(raw.canary) };
}

export function parseCanary(raw: unknown, name = ''): Canary {
  const canary = (raw ?? {}) as Record<string, unknown>;
  const limits = (canary.limits ?? {}) as Record<string, unknown>;
  const record = (Array.isArray(canary.record) ? canary.record : []).map((entry: Record<string, unknown>) => ({
    time: parseMoment(entry.ts),
    weight: number(entry.weight) ?? 0,
    verdict: String(entry.verdict ?? ''),
    reason: String(entry.reason ?? ''),
    baseline: side(entry.baseline),
    canary: side(entry.canary),
  }));
  return {
    name: String(canary.name ?? name),
    service: String(canary.service ?? ''),
    baseline: String(canary.baseline ?? ''),
    canary: String(canary.canary ?? ''),
    steps: Array.isArray(canary.steps) ? canary.steps.map(Number).filter(Number.isFinite) : [],
    stepSeconds: number(canary.step_seconds),
    limits: { errorRate: number(limits.error_rate), p99: number(limits.p99_ms) },
    state: String(canary.state ?? ''),
    weight: number(canary.weight) ?? 0,
    current: canary.current ? parseCurrent(canary.current as Record<string, unknown>) : null,
    record,
  };
}

/// Takes a list, `{"canaries": [...]}`, or an object of name → canary.
export function parseCanaries(reply: unknown): Canary[] {
  const inner = (reply as { canaries?: unknown } | null)?.canaries ?? (reply as { data?: unknown } | null)?.data ?? reply;
  if (Array.isArray(inner)) return inner.map((raw) => parseCanary(raw));
  if (typeof inner !== 'object' || inner === null) return [];
  return Object.entries(inner).map(([name, raw]) => parseCanary(raw, name));
}

export async function loadCanaries(): Promise<void> {
  try {
    canaries.value = parseCanaries(await getJson('ops/canaries')).sort((left, right) => lastChange(right) - lastChange(left));
    canariesError.value = '';
    canariesLoaded.value = true;
  } catch (error) {
    canariesError.value = describeError(error);
  }
}

function lastChange(canary: Canary): number {
  const live = canary.state === 'running' || canary.state === 'paused' ? 1e15 : 0;
  return live + (canary.record[canary.record.length - 1]?.time ?? 0);
}

export async function commandCanary(name: string, command: 'promote' | 'rollback' | 'pause' | 'resume'): Promise<void> {
  await send('POST', `ops/canaries/${encodeURIComponent(name)}/${command}`);
  await loadCanaries();
}

/// Forgets a canary that is over, with its record.
export async function removeCanary(name: string): Promise<void> {
  await send('DELETE', `ops/canaries/${encodeURIComponent(name)}`);
  await loadCanaries();
}

export interface CanaryPlan {
  readonly service: string;
  readonly baseline: string;
  readonly canary: string;
  readonly steps: readonly number[];
  readonly step_seconds: number;
  readonly limits: { readonly error_rate: number; readonly p99_ms: number };
}

export async function startCanary(name: string, plan: CanaryPlan): Promise<void> {
  await send('PUT', `ops/canaries/${encodeURIComponent(name)}`, plan);
  await loadCanaries();
}
