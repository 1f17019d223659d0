// stream.ts: the one EventSource of the page.
//
// The browser reconnects and resumes by itself (Last-Event-ID). When it gives up, which it does on any reply but 200, we open a new
// one with growing pauses and report the hole, so that it can be filled from history.
import { shallowRef } from 'vue';

export type StreamState = 'connecting' | 'live' | 'stale' | 'lost';

export interface StreamHandlers {
  onPoint(data: unknown): void;
  onNamed(name: 'alert' | 'canary', data: unknown): void;
  /// Events were missed: the collector said so, or a new connection could not resume.
  onGap(data: unknown): void;
}

/// Without a point for this long the numbers on the page are old, and it says so.
const STALE_AFTER_MS = 5_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export const streamState = shallowRef<StreamState>('connecting');
/// When the last event of any kind arrived, Unix milliseconds; 0 before the first.
export const lastEventAt = shallowRef(0);

function parse(event: Event): unknown {
  try {
    return JSON.parse((event as MessageEvent<string>).data) as unknown;
  } catch {
    return null;
  }
}

export function openStream(handlers: StreamHandlers): void {
  let pause = FIRST_PAUSE_MS;
  let openedBefore = false;

  const connect = () => {
    const source = new EventSource('ops/stream');
    const heard = (deliver: (data: unknown) => void) => (event: Event) => {
      lastEventAt.value = Date.now();
      streamState.value = 'live';
      pause = FIRST_PAUSE_MS;
      const data = parse(event);
      if (data !== null) deliver(data);
    };
    source.onopen = () => {
      if (openedBefore && source !== first) handlers.onGap({ reason: 'reconnected' });
      openedBefore = true;
      streamState.value = 'live';
      lastEventAt.value = Date.now();
    };
    source.onmessage = heard(handlers.onPoint);
    source.addEventListener('alert', heard((data) => handlers.onNamed('alert', data)));
    source.addEventListener('canary', heard((data) => handlers.onNamed('canary', data)));
    source.addEventListener('gap', heard(handlers.onGap));
    source.onerror = () => {
      streamState.value = 'lost';
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
    return source;
  };
  const first = connect();

  setInterval(() => {
    if (streamState.value === 'live' && Date.now() - lastEventAt.value > STALE_AFTER_MS) streamState.value = 'stale';
  }, 1000);
}
