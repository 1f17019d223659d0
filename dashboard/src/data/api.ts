// api.ts: the collector's HTTP interface, same origin only. Every failure becomes an ApiError with one sentence a person can act on.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export type Params = Record<string, string | number | null | undefined>;

/// A question that takes longer is given up: the operator should ask a smaller one.
const TIMEOUT_MS = 20_000;

function address(path: string, params: Params): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '') search.set(key, String(value));
  }
  const query = search.toString();
  return query ? `${path}?${query}` : path;
}

async function request(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<unknown> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      headers: body === undefined ? { accept: 'application/json' } : { accept: 'application/json', 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = limit.aborted;
    throw new ApiError(0, late ? `The collector did not answer within ${TIMEOUT_MS / 1000} s. Ask for less: a shorter range or one service.` : 'The collector cannot be reached.');
  }
  const text = await response.text();
  const reply = parse(text);
  if (!response.ok) throw new ApiError(response.status, sentence(response.status, reply, text));
  return reply;
}

function parse(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function sentence(status: number, reply: unknown, text: string): string {
  const said = reply as { error?: unknown; errors?: { msg?: unknown }[] } | null;
  if (typeof said?.error === 'string') return said.error;
  if (typeof said?.errors?.[0]?.msg === 'string') return said.errors[0].msg;
  return `The collector answered ${status}${text && text.length < 200 ? `: ${text.trim()}` : '.'}`;
}

export function getJson(path: string, params: Params = {}, signal?: AbortSignal): Promise<unknown> {
  return request('GET', address(path, params), undefined, signal);
}

export function send(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
  return request(method, path, body);
}

export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
