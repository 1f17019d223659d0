// linkify.ts: text from telemetry cut into plain pieces and links: trace ids lead to their trace, web addresses out.
//
// Only these two become links, and only as text inside an <a>: an address must be http or https, so nothing in a label can run.
// Tests: tests/linkify.test.ts.

export interface Piece {
  readonly text: string;
  readonly trace?: string;
  readonly url?: string;
}

const PATTERN = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|\bhttps?:\/\/[^\s"'<>]{1,500}/g;

export function linkify(text: string): Piece[] {
  const pieces: Piece[] = [];
  let reached = 0;
  for (const match of text.matchAll(PATTERN)) {
    if (match.index > reached) pieces.push({ text: text.slice(reached, match.index) });
    pieces.push(match[0].startsWith('http') ? { text: match[0], url: match[0] } : { text: match[0], trace: match[0] });
    reached = match.index + match[0].length;
  }
  if (reached < text.length) pieces.push({ text: text.slice(reached) });
  return pieces;
}

/// The first trace that a set of annotations names.
export function firstTrace(texts: Readonly<Record<string, string>>): string {
  if (texts.traceId) return texts.traceId;
  for (const text of Object.values(texts)) for (const piece of linkify(text)) if (piece.trace) return piece.trace;
  return '';
}
