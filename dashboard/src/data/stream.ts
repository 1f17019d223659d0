// stream.ts: the one EventSource of the page.
//
// The browser reconnects and resumes by itself (Last-Event-ID). When it gives up, which it does on any reply but 200, we open a new one
// that names the last event in its address, with growing pauses. What could not be resumed the collector reports as a `gap`.
// The collector sends a point only where there were requests, so silence may be peace: after a while of it we ask /healthz, and from time to
// time open the stream anew, because a connection whose other end is gone (behind a proxy, after sleep) looks just as peaceful.
import { shallowRef } from 'vue';

export type StreamState = 'connecting' | 'live' | 'idle' | 'stale' | 'lost';

export interface StreamHandlers {
  onPoint(data: unknown): void;
  onNamed(name: 'alert' | 'canary', data: unknown): void;
  onGap(data: unknown): void;
}

const SILENT_AFTER_MS = 6_000;
const ASK_HEALTH_EVERY_MS = 5_000;
const REOPEN_AFTER_MS = 15_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export const streamState = shallowRef<StreamState>('connecting');
/// When the last event of any kind arrived, Unix milliseconds; 0 before the first.
export const lastEventAt = shallowRef(0);

function parse(event: MessageEvent<string>): unknown {
  try {
    return JSON.parse(event.data) as unknown;
  } catch {
    return null;
  }
}

export function openStream(handlers: StreamHandlers): void {
  let pause = FIRST_PAUSE_MS;
  let lastId = '';
  let source: EventSource | null = null;
  let openedAt = 0;

  const connect = () => {
    const current = new EventSource(lastId ? `ops/stream?lastEventId=${encodeURIComponent(lastId)}` : 'ops/stream');
    source = current;
    const heard = (deliver: (data: unknown) => void) => (event: Event) => {
      lastId = (event as MessageEvent).lastEventId || lastId;
      lastEventAt.value = Date.now();
      streamState.value = 'live';
      const data = parse(event as MessageEvent<string>);
      if (data !== null) deliver(data);
    };
    current.onopen = () => {
      pause = FIRST_PAUSE_MS;
      openedAt = Date.now();
      // Opened anew out of peace: nothing has changed until something is said.
      if (streamState.value === 'idle') return;
      streamState.value = 'live';
      lastEventAt.value = Date.now();
    };
    current.onmessage = heard(handlers.onPoint);
    current.addEventListener('alert', heard((data) => handlers.onNamed('alert', data)));
    current.addEventListener('canary', heard((data) => handlers.onNamed('canary', data)));
    current.addEventListener('gap', heard(handlers.onGap));
    current.onerror = () => {
      if (current !== source) return;
      streamState.value = 'lost';
      if (current.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
  };
  connect();
  watchSilence({
    isOpen: () => source?.readyState === EventSource.OPEN,
    isOld: () => Date.now() - Math.max(openedAt, lastEventAt.value) > REOPEN_AFTER_MS,
    reopen: () => {
      source?.close();
      connect();
    },
  });
}

function watchSilence({ isOpen, isOld, reopen }: { isOpen(): boolean; isOld(): boolean; reopen(): void }): void {
  let askedAt = 0;
  setInterval(async () => {
    const silent = Date.now() - lastEventAt.value > SILENT_AFTER_MS;
    if (!isOpen() || !silent || Date.now() - askedAt < ASK_HEALTH_EVERY_MS) return;
    askedAt = Date.now();
    const healthy = await fetch('healthz', { cache: 'no-store', signal: AbortSignal.timeout(3000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (!isOpen() || Date.now() - lastEventAt.value <= SILENT_AFTER_MS) return;
    streamState.value = healthy ? 'idle' : 'stale';
    if (healthy && isOld()) reopen();
  }, 1000);
}
