// shortcuts.ts: the page by keyboard. One list, used by the keys and by the help dialog.
import { go } from './route';

export const SHORTCUTS: readonly { readonly keys: readonly string[]; readonly does: string }[] = [
  { keys: ['g', 'o'], does: 'Overview' },
  { keys: ['g', 't'], does: 'Traces' },
  { keys: ['g', 'l'], does: 'Logs' },
  { keys: ['g', 'a'], does: 'Alerts' },
  { keys: ['g', 'c'], does: 'Canaries' },
  { keys: ['g', 'd'], does: 'Delivery' },
  { keys: ['/'], does: 'Search: by text or id, in traces and logs' },
  { keys: ['j'], does: 'Next row' },
  { keys: ['k'], does: 'Previous row' },
  { keys: ['Enter'], does: 'Open the row' },
  { keys: ['↑', '↓', '←', '→'], does: 'In a waterfall: move, fold, unfold' },
  { keys: ['t'], does: 'Dark, light, as the system' },
  { keys: ['Esc'], does: 'Close a dialog, leave a field' },
  { keys: ['?'], does: 'This help' },
];

const PLACES: Record<string, string> = { o: 'overview', t: 'traces', l: 'logs', a: 'alerts', c: 'canaries', d: 'delivery' };
const SECOND_KEY_MS = 1200;

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(target.tagName));
}

/// Rows are marked data-row; what takes the focus is the row's first link or button.
function moveRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))]!;
  const target = row.matches('a,button') ? row : row.querySelector<HTMLElement>('a,button');
  target?.focus();
  row.scrollIntoView({ block: 'nearest' });
}

export function listenForShortcuts(actions: { help(): void; theme(): void; search(): void }): void {
  let leader = 0;
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === 'Escape') (event.target as HTMLElement).blur();
      return;
    }
    if (document.querySelector('dialog[open]')) return;
    if (Date.now() - leader < SECOND_KEY_MS) {
      leader = 0;
      const place = PLACES[event.key];
      if (place) {
        event.preventDefault();
        go(place);
      }
      return;
    }
    if (event.key === 'g') leader = Date.now();
    else if (event.key === '/') actions.search();
    else if (event.key === '?') actions.help();
    else if (event.key === 't') actions.theme();
    else if (event.key === 'j') moveRow(1);
    else if (event.key === 'k') moveRow(-1);
    else return;
    event.preventDefault();
  });
}
