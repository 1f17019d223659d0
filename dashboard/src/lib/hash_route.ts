// hash_route.ts: the page's address, `#/view/segment?key=value`, read and written.
//
// Every view and selection lives here, so that a link in a chat opens what its sender saw.

export interface Route {
  readonly view: string;
  readonly segment: string;
  readonly params: Readonly<Record<string, string>>;
}

export const DEFAULT_VIEW = 'overview';

export function parseHash(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '');
  const question = text.indexOf('?');
  const path = question < 0 ? text : text.slice(0, question);
  const slash = path.indexOf('/');
  const view = slash < 0 ? path : path.slice(0, slash);
  const segment = slash < 0 ? '' : path.slice(slash + 1);
  const params: Record<string, string> = {};
  for (const [key, value] of new URLSearchParams(question < 0 ? '' : text.slice(question + 1))) params[key] = value;
  return { view: view || DEFAULT_VIEW, segment: decode(segment), params };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/// Empty values are left out. An address that says less is easier to read aloud.
export function formatHash(view: string, segment = '', params: Record<string, string | number | null | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '') search.set(key, String(value));
  }
  const query = search.toString();
  return `#/${view}${segment ? `/${encodeURIComponent(segment)}` : ''}${query ? `?${query}` : ''}`;
}
