// service_map.ts: /ops/map, checked.
import { getJson } from './api';

export interface MapNumbers {
  readonly rps: number | null;
  readonly error_rate: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}
export interface MapNodeData extends MapNumbers {
  readonly service: string;
}
export interface MapEdgeData extends MapNumbers {
  readonly from: string;
  readonly to: string;
}
export interface ServiceMapData {
  readonly nodes: readonly MapNodeData[];
  readonly edges: readonly MapEdgeData[];
}

/// More boxes than this are a hairball, not a map.
const MAX_NODES = 150;
const MAX_EDGES = 400;

function numbers(raw: Record<string, unknown>): MapNumbers {
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
  return { rps: number(raw.rps), error_rate: number(raw.error_rate), p50: number(raw.p50), p95: number(raw.p95), p99: number(raw.p99) };
}

export async function loadMap(seconds: number, signal?: AbortSignal): Promise<ServiceMapData> {
  const end = Math.ceil(Date.now() / 1000);
  const reply = (await getJson('ops/map', { start: end - seconds, end }, signal)) as { nodes?: Record<string, unknown>[]; edges?: Record<string, unknown>[] } | null;
  const nodes = (reply?.nodes ?? []).slice(0, MAX_NODES).map((raw) => ({ service: String(raw.service ?? ''), ...numbers(raw) }));
  const edges = (reply?.edges ?? []).slice(0, MAX_EDGES).map((raw) => ({ from: String(raw.from ?? ''), to: String(raw.to ?? ''), ...numbers(raw) }));
  return { nodes: nodes.filter((node) => node.service), edges: edges.filter((edge) => edge.from && edge.to) };
}
