// poll.ts: asks again and again while somebody looks: not in a hidden tab, never two questions at once, the last answer wins.
import { onScopeDispose, shallowRef, type Ref } from 'vue';
import { describeError } from './api';

export interface Polled<T> {
  readonly value: Ref<T | null>;
  readonly error: Ref<string>;
  readonly loading: Ref<boolean>;
  refresh(): Promise<void>;
}

export function usePoll<T>(ask: (signal: AbortSignal) => Promise<T>, everyMs: number): Polled<T> {
  const value = shallowRef<T | null>(null) as Ref<T | null>;
  const error = shallowRef('');
  const loading = shallowRef(true);
  let abort: AbortController | null = null;

  const refresh = async () => {
    abort?.abort();
    const mine = (abort = new AbortController());
    try {
      const answer = await ask(mine.signal);
      if (mine.signal.aborted) return;
      value.value = answer;
      error.value = '';
    } catch (failure) {
      if (mine.signal.aborted) return;
      error.value = describeError(failure);
    }
    loading.value = false;
    abort = null;
  };
  void refresh();
  const timer = everyMs > 0 ? setInterval(() => !document.hidden && abort === null && void refresh(), everyMs) : undefined;
  onScopeDispose(() => {
    clearInterval(timer);
    abort?.abort();
  });
  return { value, error, loading, refresh };
}
