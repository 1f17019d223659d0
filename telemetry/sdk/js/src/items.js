'use strict';
// items.js: values as they come from the application, made into JSON text that /ingest takes. Never throws; what cannot be sent gives null.
//
// Limits: 32 labels, 64 fields, names and label values 256 characters, texts 8,192. Longer ones are cut, not refused.

const MAX_LABELS = 32;
const MAX_FIELDS = 64;
const MAX_NAME = 256;
const MAX_TEXT = 8192;
const MAX_ITEM = 65_536;
const RESERVED = new Set(['ts', 'level', 'msg', 'service', 'severity']);

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function cleanLabels(labels) {
  const clean = {};
  if (typeof labels !== 'object' || labels === null) return clean;
  for (const key of Object.keys(labels).sort().slice(0, MAX_LABELS)) {
    const value = labels[key];
    if (value !== undefined && value !== null) clean[cut(key, MAX_NAME)] = cut(String(value), MAX_NAME);
  }
  return clean;
}

/// Errors with their stack, big integers as text, circles cut.
function plain(value, seen = []) {
  if (typeof value === 'string') return cut(value, MAX_TEXT);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return String(value).slice(0, MAX_NAME);
  if (typeof value !== 'object' || value === null) return value;
  if (seen.includes(value)) return '[circular]';
  if (seen.length >= 6) return '[deep]';
  const inside = [...seen, value];
  if (value instanceof Error) return { name: value.name, message: cut(value.message, MAX_TEXT), stack: cut(String(value.stack), MAX_TEXT) };
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Array.isArray(value)) return value.slice(0, MAX_FIELDS).map((entry) => plain(entry, inside));
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return Object.fromEntries(Object.keys(value).slice(0, MAX_FIELDS).map((key) => [cut(key, MAX_NAME), plain(value[key], inside)]));
}

function metricItem(kind, name, value, labels, service, time) {
  if (typeof name !== 'string' || name === '' || typeof value !== 'number' || !Number.isFinite(value)) return null;
  const payload = { name: cut(name, MAX_NAME), value, kind, service, ts: time };
  if (kind === 'timing') payload.unit = 'ms';
  if (Object.keys(labels).length) payload.labels = labels;
  return JSON.stringify({ type: 'metric', payload });
}

function logItem(level, message, fields, severity, service, time) {
  const payload = { ts: time, level, msg: cut(message instanceof Error ? message.message : String(message), MAX_TEXT), service };
  if (severity) payload.severity = severity;
  const extra = fields instanceof Error ? { error: fields } : fields;
  if (message instanceof Error) payload.error = plain(message);
  if (typeof extra === 'object' && extra !== null) {
    for (const key of Object.keys(extra).slice(0, MAX_FIELDS)) if (!RESERVED.has(key)) payload[cut(key, MAX_NAME)] = plain(extra[key]);
  }
  const text = JSON.stringify({ type: 'log', payload });
  if (text.length <= MAX_ITEM) return text;
  return JSON.stringify({ type: 'log', payload: { ts: time, level, msg: payload.msg, service, severity: severity || undefined, cut: 'the fields were too large' } });
}

module.exports = { cleanLabels, metricItem, logItem };
