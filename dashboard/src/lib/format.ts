// format.ts: numbers, durations and times as a tired person reads them.
//
// Every function takes null and undefined and gives an en dash, so that a table never shows "NaN". Tests: tests/format.test.ts.

export const NOTHING = '–';

type Maybe = number | null | undefined;

function present(value: Maybe): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/// Three significant digits, no exponent: 0.042, 4.2, 42, 420, 4.20k, 42.0k, 4.20M.
export function formatCount(value: Maybe): string {
  if (!present(value)) return NOTHING;
  const size = Math.abs(value);
  if (size >= 1e9) return `${significant(value / 1e9)}G`;
  if (size >= 1e6) return `${significant(value / 1e6)}M`;
  if (size >= 1e4) return `${significant(value / 1e3)}k`;
  if (Number.isInteger(value)) return String(value);
  return significant(value);
}

function significant(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.995) return value.toFixed(2);
  return value.toPrecision(2);
}

export function formatRate(perSecond: Maybe): string {
  if (!present(perSecond)) return NOTHING;
  if (perSecond === 0) return '0';
  if (Math.abs(perSecond) < 0.01) return '<0.01';
  if (Math.abs(perSecond) >= 1e4) return formatCount(perSecond);
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond >= 10 ? perSecond.toFixed(1) : perSecond.toFixed(2);
}

/// A share of 1 as a percentage. Never rounds a real error rate to 0 nor an imperfect one to 100.
export function formatShare(share: Maybe): string {
  if (!present(share)) return NOTHING;
  const percent = share * 100;
  if (percent === 0) return '0 %';
  if (percent < 0.01) return '<0.01 %';
  if (percent >= 100) return '100 %';
  if (percent > 99.99) return '>99.99 %';
  if (percent >= 99.5) return `${percent.toFixed(2)} %`;
  return percent >= 10 ? `${percent.toFixed(1)} %` : `${percent.toFixed(2)} %`;
}

/// Milliseconds in the unit that needs the fewest digits: 231 µs, 4.20 ms, 231 ms, 4.20 s, 3 m 12 s.
export function formatDuration(ms: Maybe): string {
  if (!present(ms)) return NOTHING;
  const size = Math.abs(ms);
  if (size === 0) return '0 ms';
  if (size < 0.9995) return `${(ms * 1000).toFixed(0)} µs`;
  if (size < 9.995) return `${ms.toFixed(2)} ms`;
  if (size < 99.95) return `${ms.toFixed(1)} ms`;
  if (size < 999.5) return `${ms.toFixed(0)} ms`;
  if (size < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (size < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return formatSpan(ms);
}

/// A long time in its two largest units: 3 m 12 s, 4 h 5 m, 2 d 3 h.
export function formatSpan(ms: Maybe): string {
  if (!present(ms)) return NOTHING;
  const seconds = Math.max(0, Math.round(ms / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} m`;
  if (minutes > 0) return `${minutes} m ${seconds % 60} s`;
  return `${seconds} s`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/// 03:07:42 in the reader's zone.
export function formatClock(unixMs: Maybe): string {
  if (!present(unixMs)) return NOTHING;
  const date = new Date(unixMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function formatClockMillis(unixMs: Maybe): string {
  if (!present(unixMs)) return NOTHING;
  return `${formatClock(unixMs)}.${String(Math.floor(unixMs % 1000)).padStart(3, '0')}`;
}

export function formatDateTime(unixMs: Maybe): string {
  if (!present(unixMs)) return NOTHING;
  const date = new Date(unixMs);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${formatClock(unixMs)}`;
}

/// "12 s ago", and "in 5 m 0 s" for what lies ahead.
export function formatAgo(unixMs: Maybe, now: number): string {
  if (!present(unixMs)) return NOTHING;
  return unixMs > now + 500 ? `in ${formatSpan(unixMs - now)}` : `${formatSpan(now - unixMs)} ago`;
}

/// Reads "250ms", "1.5 s", "2m" and bare numbers (milliseconds). Null: not a duration.
export function parseDurationMs(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h)?\s*$/.exec(text);
  if (!match) return null;
  const scale: Record<string, number> = { us: 0.001, µs: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  return Number(match[1]) * scale[match[2] ?? 'ms']!;
}

/// A moment from the collector: Unix seconds, milliseconds, microseconds or nanoseconds by size, or ISO 8601. Null: not a time.
export function parseMoment(value: unknown): number | null {
  if (typeof value === 'string' && value.trim() !== '' && Number.isNaN(Number(value))) {
    const parsed = Date.parse(value);
    return Number.isNaN(parsed) ? null : parsed;
  }
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number) || number <= 0) return null;
  if (number < 1e11) return number * 1000;
  if (number < 1e14) return number;
  if (number < 1e17) return number / 1000;
  return number / 1e6;
}

/// 4.00 s is 4 s on an axis.
export function shorten(text: string): string {
  return text.replace(/(\d)\.0+(?=\D|$)/, '$1').replace(/(\.\d*?[1-9])0+(?=\D|$)/, '$1');
}

/// Enough of an id to recognise it: its end, because the ids of one minute begin alike (UUID version 7 begins with the time).
export function shortId(id: string, length = 8): string {
  return id.length > length + 1 ? `…${id.slice(-length)}` : id;
}
