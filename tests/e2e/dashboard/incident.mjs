// incident.mjs: the story an operator must be able to see: the numbers jump, the alert is there, the slow trace names the culprit.
import assert from 'node:assert/strict';
import { PATIENCE_MS } from './browser.mjs';

const SERVICE = process.env.HMS_INCIDENT_SERVICE ?? 'claims';
const P99_ABOVE_MS = Number(process.env.HMS_P99_ABOVE_MS ?? 1000);
const ERRORS_ABOVE = Number(process.env.HMS_ERRORS_ABOVE ?? 5);
const SLOWEST_HOP = process.env.HMS_SLOWEST_HOP ?? 'store';

/// "4.02 s" → 4020; what the page writes for people, read back.
export function milliseconds(text) {
  const match = /([\d.]+) (µs|ms|s)/.exec(text ?? '');
  return match ? Number(match[1]) * { µs: 0.001, ms: 1, s: 1000 }[match[2]] : NaN;
}

async function waitUntil(page, what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (seen.ok) return seen.value;
    if (Date.now() > deadline) throw new Error(`${what}: not seen within ${PATIENCE_MS / 1000} s, last: ${seen.value}`);
    await page.waitForTimeout(200);
  }
}

/// The highest value in view, as a chart's legend says it. The storm may be over when a busy machine gets here; the picture of it is not.
const peak = (page, chart) => page.locator(`[data-charts] section[aria-label="${chart}"] [data-peak]`).innerText();

async function seesTheSpike(test, page) {
  await page.goto(`${test.base}/#/service/${SERVICE}`);
  const rate = await waitUntil(page, `rate of ${SERVICE}`, async () => {
    const value = await peak(page, 'Rate');
    return { ok: Number.parseFloat(value) > 0, value };
  });
  const p99 = await waitUntil(page, `p99 of ${SERVICE} above ${P99_ABOVE_MS} ms`, async () => {
    const value = await peak(page, 'Latency');
    return { ok: milliseconds(value) > P99_ABOVE_MS, value };
  });
  const errors = await waitUntil(page, `errors of ${SERVICE} above ${ERRORS_ABOVE} %`, async () => {
    const value = await peak(page, 'Error rate');
    return { ok: Number.parseFloat(value) > ERRORS_ABOVE, value };
  });
  await drawnHigh(page);
  await test.picture(page, 'incident-service');
  test.passed(`the live charts of ${SERVICE} show the spike: p99 up to ${p99}, errors up to ${errors}, rate up to ${rate} a second`);
}

/// Something other than the empty ground is painted in the upper half of the latency chart: the line really is up there.
async function drawnHigh(page) {
  const painted = await page.locator('[data-charts] section[aria-label="Latency"] canvas').evaluate((canvas) => {
    const { width, height } = canvas;
    const line = getComputedStyle(document.documentElement).getPropertyValue('--series-p99').trim();
    const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(line.slice(at, at + 2), 16));
    const pixels = canvas.getContext('2d').getImageData(0, 0, width, Math.floor(height / 2)).data;
    let count = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      if (Math.abs(pixels[at] - red) + Math.abs(pixels[at + 1] - green) + Math.abs(pixels[at + 2] - blue) < 24 && pixels[at + 3] > 200) count++;
    }
    return count;
  });
  assert.ok(painted > 20, `the p99 line is not in the upper half of its chart (${painted} pixels of its colour)`);
}

async function seesTheAlert(test, page) {
  await page.goto(`${test.base}/#/overview`);
  const strip = page.locator('[data-alert]').first();
  await strip.waitFor();
  const said = (await strip.innerText()).replace(/\s+/g, ' ');
  await page.waitForFunction(() => document.querySelector('[data-announcement]')?.textContent?.includes('Alert firing'));
  await page.locator('[data-services] tbody tr').first().waitFor();
  await test.picture(page, 'incident-overview');
  await page.goto(`${test.base}/#/alerts`);
  await page.locator('[data-alerts] li').first().waitFor();
  await test.picture(page, 'incident-alerts');
  test.passed(`the alert is on top, in the list, and announced: ${said}`);
}

export async function checkSlowTrace(test) {
  for (const [theme, width] of [['dark', 1280], ['light', 390]]) {
    await test.with({ theme, width }, async (page) => {
      await page.goto(`${test.base}/#/traces?min=${P99_ABOVE_MS}ms&sort=duration`);
      const first = page.locator('[data-results] [data-trace]').first();
      await first.waitFor();
      await test.picture(page, `incident-traces-${theme}-${width}`);
      await first.click();
      await page.locator('[data-waterfall] [role="treeitem"]').first().waitFor();
      const rows = await page.locator('[data-waterfall] [role="treeitem"]').count();
      assert.ok(rows >= 2, `a waterfall of ${rows} row`);
      const slowest = page.locator('[data-waterfall] .slowest');
      assert.equal(await slowest.getAttribute('data-service'), SLOWEST_HOP, 'the slowest hop');
      await slowest.click();
      await page.locator('.details dl').waitFor();
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(over <= 0, `the trace is ${over} px wider than the window of ${width} px`);
      await page.locator('section[aria-label="Logs of this trace"]').waitFor();
      await test.picture(page, `incident-trace-${theme}-${width}`);
      // The address is the view: whoever opens the link sees the same span opened.
      const address = page.url();
      await page.goto('about:blank');
      await page.goto(address);
      await page.locator('.details dl').waitFor();
      test.passed(`the slowest trace opens from the search (${theme}, ${width} px): ${rows} spans, slowest hop ${SLOWEST_HOP}, and its address opens the same span`);
    });
  }
}

export async function checkIncident(test) {
  await test.with({ theme: 'dark' }, async (page) => {
    await seesTheAlert(test, page);
    await seesTheSpike(test, page);
  });
  await test.with({ theme: 'light', width: 390 }, async (page) => {
    await page.goto(`${test.base}/#/overview`);
    await page.locator('[data-alert]').first().waitFor();
    await page.locator('[data-services] tbody tr').first().waitFor();
    await test.picture(page, 'incident-overview-light-390');
  });
  await checkSlowTrace(test);
}
