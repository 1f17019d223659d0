// browser.mjs: Debian's Chromium by playwright-core (from dashboard/node_modules), and what every check needs of it.
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.resolve(here, '../../../dashboard/package.json'));

export const CHROMIUM = process.env.HMS_CHROMIUM ?? '/usr/bin/chromium';
export const PATIENCE_MS = Number(process.env.HMS_TEST_PATIENCE ?? 30) * 1000;

/// Why the browser cannot be started here, or ''.
export function whyNot() {
  if (!existsSync(CHROMIUM)) return `${CHROMIUM} does not exist: apt-get install chromium, or set HMS_CHROMIUM`;
  try {
    require.resolve('playwright-core');
    return '';
  } catch {
    return 'playwright-core is not installed: run npm ci in dashboard/';
  }
}

export function axeBuilder() {
  const loaded = require('@axe-core/playwright');
  return loaded.default ?? loaded.AxeBuilder;
}

/// Without its background services: they would look for hosts that are not ours. The profile folder is new and goes away.
export async function launch() {
  const { chromium } = require('playwright-core');
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/// A folder for pictures: HMS_SCREENSHOTS, else a new one under the system's temporary folder.
export function pictureFolder() {
  const folder = process.env.HMS_SCREENSHOTS ?? mkdtempSync(path.join(tmpdir(), 'hms-dashboard-'));
  mkdirSync(folder, { recursive: true });
  return folder;
}

/// A page that remembers what went wrong in it and whom it called.
export async function openPage(browser, { width, theme, base }) {
  const context = await browser.newContext({ viewport: { width, height: width < 600 ? 844 : 900 }, colorScheme: theme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults = [];
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    // A search for what does not exist is a 404 in the console too; the page says it in its own words.
    if (message.type() === 'error' && !/status of 404/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(base).origin && url.protocol !== 'data:') faults.push(`called another host: ${request.url()}`);
  });
  return { page, context, faults };
}
