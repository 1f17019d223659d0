// route.ts: the address as reactive state.
import { shallowRef } from 'vue';
import { formatHash, parseHash, type Route } from '../lib/hash_route';

export const route = shallowRef<Route>(parseHash(location.hash));
addEventListener('hashchange', () => (route.value = parseHash(location.hash)));

export type Query = Record<string, string | number | null | undefined>;

export function go(view: string, segment = '', params: Query = {}): void {
  location.hash = formatHash(view, segment, params);
}

/// Changes parts of the query and keeps the rest. Does not leave a step in the browser's history: it is the same view.
export function setParams(changes: Query): void {
  const hash = formatHash(route.value.view, route.value.segment, { ...route.value.params, ...changes });
  history.replaceState(null, '', hash);
  route.value = parseHash(hash);
}
