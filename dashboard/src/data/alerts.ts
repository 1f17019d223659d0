// alerts.ts: what fires, what is silenced, and what was said aloud about it.
import { computed, shallowRef } from 'vue';
import { parseMoment } from '../lib/format';
import { describeError, getJson, send } from './api';

export interface Alert {
  readonly key: string;
  readonly name: string;
  readonly state: 'firing' | 'pending' | 'other';
  readonly severity: string;
  readonly service: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly since: number | null;
  readonly value: string;
}

export interface Matcher {
  readonly name: string;
  readonly value: string;
  readonly isRegex?: boolean;
  readonly isEqual?: boolean;
}

export interface Silence {
  readonly id: string;
  readonly matchers: readonly Matcher[];
  readonly startsAt: string;
  readonly endsAt: string;
  readonly createdBy: string;
  readonly comment: string;
}

export const alerts = shallowRef<Alert[]>([]);
export const silences = shallowRef<Silence[]>([]);
export const alertsError = shallowRef('');
/// Read out by screen readers through the live region in App.vue.
export const announcement = shallowRef('');

function strings(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));
}

export function parseAlert(raw: unknown): Alert {
  const alert = (raw ?? {}) as Record<string, unknown>;
  const labels = strings(alert.labels);
  const state = String(alert.state ?? alert.status ?? '');
  const name = labels.alertname ?? String(alert.alertname ?? alert.name ?? 'unnamed');
  const key = Object.entries({ ...labels, alertname: name })
    .sort()
    .map(([label, value]) => `${label}=${value}`)
    .join(',');
  return {
    key,
    name,
    state: state === 'firing' || state === 'pending' ? state : 'other',
    severity: labels.severity ?? '',
    service: labels.service_name ?? labels.service ?? '',
    labels,
    annotations: strings(alert.annotations),
    since: parseMoment(alert.activeAt ?? alert.startsAt),
    value: alert.value === undefined || alert.value === null ? '' : String(alert.value),
  };
}

const SEVERITY_RANK: Record<string, number> = { security: -1, critical: 0, page: 0, error: 1, warning: 2, info: 3 };

export function severityRank(severity: string): number {
  return SEVERITY_RANK[severity] ?? 2;
}

export function isSilenced(alert: Alert, list: readonly Silence[], at: number): boolean {
  return list.some((silence) => silenceActive(silence, at) && silence.matchers.length > 0 && silence.matchers.every((matcher) => matches(matcher, alert.labels)));
}

export function silenceActive(silence: Silence, at: number): boolean {
  return (parseMoment(silence.startsAt) ?? 0) <= at && at < (parseMoment(silence.endsAt) ?? 0);
}

function matches(matcher: Matcher, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[matcher.name] ?? '';
  let equal = value === matcher.value;
  if (matcher.isRegex) {
    try {
      equal = new RegExp(`^(?:${matcher.value})$`).test(value);
    } catch {
      equal = false;
    }
  }
  return equal === (matcher.isEqual ?? true);
}

/// Firing before pending, security before everything, then by severity, the newest first.
function byUrgency(left: Alert, right: Alert): number {
  const rank = (alert: Alert) => (alert.state === 'firing' ? 0 : 10) + (isSecurity(alert) ? -1 : severityRank(alert.severity));
  return rank(left) - rank(right) || (right.since ?? 0) - (left.since ?? 0) || left.key.localeCompare(right.key);
}

function isSecurity(alert: Alert): boolean {
  return alert.severity === 'security' || alert.name === 'SecurityLog';
}

export const firing = computed(() => alerts.value.filter((alert) => alert.state === 'firing'));

function announce(before: readonly Alert[], after: readonly Alert[]): void {
  const was = new Set(before.filter((alert) => alert.state === 'firing').map((alert) => alert.key));
  const is = new Set(after.filter((alert) => alert.state === 'firing').map((alert) => alert.key));
  const fresh = after.filter((alert) => alert.state === 'firing' && !was.has(alert.key));
  const gone = before.filter((alert) => alert.state === 'firing' && !is.has(alert.key));
  const said = [
    ...fresh.map((alert) => `Alert firing: ${alert.name} ${alert.service}. ${alert.annotations.summary ?? ''}`),
    ...gone.map((alert) => `Alert resolved: ${alert.name} ${alert.service}.`),
  ];
  if (said.length) announcement.value = said.join(' ');
}

export async function loadAlerts(): Promise<void> {
  try {
    const [alertReply, silenceReply] = await Promise.all([getJson('api/v1/alerts'), getJson('ops/silences').catch(() => null)]);
    const list = (alertReply as { data?: { alerts?: unknown[] } } | null)?.data?.alerts ?? [];
    const next = list
      .map(parseAlert)
      .sort(byUrgency);
    announce(alerts.value, next);
    alerts.value = next;
    silences.value = silenceList(silenceReply);
    alertsError.value = '';
  } catch (error) {
    alertsError.value = describeError(error);
  }
}

function silenceList(reply: unknown): Silence[] {
  const list = Array.isArray(reply) ? reply : ((reply as { silences?: unknown[]; data?: unknown[] } | null)?.silences ?? (reply as { data?: unknown[] } | null)?.data ?? []);
  return (Array.isArray(list) ? list : []).map((raw: Record<string, unknown>) => ({
    id: String(raw.id ?? ''),
    matchers: Array.isArray(raw.matchers) ? (raw.matchers as Matcher[]) : [],
    startsAt: String(raw.startsAt ?? ''),
    endsAt: String(raw.endsAt ?? ''),
    createdBy: String(raw.createdBy ?? ''),
    comment: String(raw.comment ?? ''),
  }));
}

export async function addSilence(matchers: readonly Matcher[], minutes: number, createdBy: string, comment: string): Promise<void> {
  const start = Date.now();
  await send('POST', 'ops/silences', {
    matchers: matchers.map(({ name, value }) => ({ name, value, isRegex: false, isEqual: true })),
    startsAt: new Date(start).toISOString(),
    endsAt: new Date(start + minutes * 60_000).toISOString(),
    createdBy,
    comment,
  });
  await loadAlerts();
}

export async function endSilence(id: string): Promise<void> {
  await send('DELETE', `ops/silences/${encodeURIComponent(id)}`);
  await loadAlerts();
}

export interface Rule {
  readonly group: string;
  readonly name: string;
  readonly recording: boolean;
  readonly query: string;
  readonly forSeconds: number;
  readonly state: string;
  readonly health: string;
  readonly lastError: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export async function loadRules(): Promise<Rule[]> {
  const reply = (await getJson('api/v1/rules')) as { data?: { groups?: { name?: string; rules?: Record<string, unknown>[] }[] } } | null;
  return (reply?.data?.groups ?? []).flatMap((group) =>
    (group.rules ?? []).map((rule) => ({
      group: String(group.name ?? ''),
      name: String(rule.name ?? ''),
      recording: rule.type === 'recording',
      query: String(rule.query ?? ''),
      forSeconds: Number(rule.duration ?? 0),
      state: String(rule.state ?? ''),
      health: String(rule.health ?? ''),
      lastError: String(rule.lastError ?? ''),
      labels: strings(rule.labels),
      annotations: strings(rule.annotations),
    })),
  );
}
