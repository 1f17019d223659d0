// theme.ts: dark, light, or as the system says; kept in this browser.
import { shallowRef } from 'vue';

export type Theme = 'auto' | 'dark' | 'light';
const KEY = 'hms-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'dark' || value === 'light' ? value : 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = shallowRef<Theme>(stored());
/// What is on screen now; charts redraw when it changes.
export const darkNow = shallowRef(true);

function apply(): void {
  darkNow.value = theme.value === 'dark' || (theme.value === 'auto' && system.matches);
  document.documentElement.dataset.theme = darkNow.value ? 'dark' : 'light';
}

system.addEventListener('change', apply);
apply();

export function setTheme(next: Theme): void {
  theme.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing still shows the theme until it is closed.
  }
  apply();
}
