import { describe, expect, test } from 'vitest';
import { isSilenced, parseAlert, type Silence } from '../src/data/alerts';
import { parseCanaries } from '../src/data/canaries';
import { completeness, parseLedger } from '../src/data/ledger';
import { parseLog } from '../src/data/logs';
import { parseTags } from '../src/lib/tags';

describe('alerts', () => {
  const alert = parseAlert({ labels: { alertname: 'HighErrorRate', service_name: 'claims', severity: 'critical' }, state: 'firing', activeAt: '2026-11-22T03:07:42Z', value: '1.7e-01' });

  test('are read from the Prometheus API', () => {
    expect(alert).toMatchObject({ name: 'HighErrorRate', service: 'claims', severity: 'critical', state: 'firing', since: Date.UTC(2026, 10, 22, 3, 7, 42) });
  });

  test('are silenced by all of a silence\'s matchers while it lasts', () => {
    const silence = (matchers: Silence['matchers'], endsAt = '2026-11-22T05:00:00Z'): Silence => ({ id: '1', matchers, startsAt: '2026-11-22T03:00:00Z', endsAt, createdBy: '', comment: '' });
    const at = Date.UTC(2026, 10, 22, 4);
    expect(isSilenced(alert, [silence([{ name: 'alertname', value: 'HighErrorRate' }])], at)).toBe(true);
    expect(isSilenced(alert, [silence([{ name: 'service_name', value: 'cl.*', isRegex: true }])], at)).toBe(true);
    expect(isSilenced(alert, [silence([{ name: 'service_name', value: 'claims', isEqual: false }])], at)).toBe(false);
    expect(isSilenced(alert, [silence([{ name: 'alertname', value: 'HighErrorRate' }, { name: 'service_name', value: 'ui' }])], at)).toBe(false);
    expect(isSilenced(alert, [silence([{ name: 'alertname', value: 'HighErrorRate' }], '2026-11-22T03:30:00Z')], at)).toBe(false);
    expect(isSilenced(alert, [silence([{ name: 'alertname', value: '(', isRegex: true }])], at)).toBe(false);
    expect(isSilenced(alert, [silence([])], at)).toBe(false);
  });
});

test('canaries are read from a list, from {canaries} and from an object by name', () => {
  const raw = { service: 'claims', baseline: 'v1', canary: 'v2', steps: [5, 100], step_seconds: 30, limits: { error_rate: 0.05, p99_ms: 2000 }, state: 'running', weight: 5, current: { step: 0, reason: 'too few', baseline: { requests: 9 } }, record: [{ ts: 1_763_780_862_000, weight: 5, verdict: 'advance', reason: 'start', baseline: { requests: 1, errors: 0, p99_ms: 3 }, canary: {} }] };
  for (const reply of [[{ name: 'a', ...raw }], { canaries: [{ name: 'a', ...raw }] }, { a: raw }]) {
    expect(parseCanaries(reply)).toMatchObject([{ name: 'a', weight: 5, limits: { errorRate: 0.05, p99: 2000 }, current: { reason: 'too few', baseline: { requests: 9 } }, record: [{ verdict: 'advance', baseline: { p99: 3 }, canary: { requests: null } }] }]);
  }
  expect(parseCanaries(null)).toEqual([]);
});

test('the ledger counts a missing batch as an average one', () => {
  const senders = parseLedger({ senders: [{ instance: 'i', service: 's', batches: { received: 9, stored: 9, repeated: 0, missing: 1 }, records: { stored: 90 }, dropped: { spool_full: 5 }, last_seen: 1_763_780_862_000 }] });
  expect(senders[0]).toMatchObject({ service: 's', dropped: [{ reason: 'spool_full', count: 5 }] });
  expect(completeness(senders)).toBeCloseTo(90 / 105);
  expect(completeness([])).toBeNull();
});

test('a log keeps what else it carried, as text', () => {
  const log = parseLog({ ts: '2026-11-22T03:07:42.5Z', level: 'ERROR', msg: '<img src=x>', service: 'a', traceId: 't', claim: { id: 7 }, attempt: 2 });
  expect(log).toMatchObject({ level: 'error', message: '<img src=x>', traceId: 't' });
  expect(log.fields).toEqual([{ key: 'claim', value: '{"id":7}' }, { key: 'attempt', value: '2' }]);
});

test('tags are key=value, with quotes where there are spaces', () => {
  expect(parseTags('http.route=/claims/{id} note="two \\"words\\"" empty=')).toEqual({ 'http.route': '/claims/{id}', note: 'two "words"', empty: '' });
  expect(parseTags('')).toEqual({});
  expect(parseTags('just words')).toBeNull();
});
