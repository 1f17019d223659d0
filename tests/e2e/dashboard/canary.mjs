// canary.mjs: the rollout as the dashboard tells it: state, weight, and the record of decisions with their reasons.
import assert from 'node:assert/strict';

const NAME = process.env.HMS_CANARY ?? '';
const STATE = process.env.HMS_CANARY_STATE ?? '';

export async function checkCanary(test) {
  for (const [theme, width] of [['dark', 1280], ['light', 390]]) {
    await test.with({ theme, width }, async (page) => {
      await page.goto(`${test.base}/#/canaries${NAME ? `/${encodeURIComponent(NAME)}` : ''}`);
      const canary = page.locator('[data-canary]');
      await canary.waitFor();
      if (STATE) await page.locator('[data-canary-state]', { hasText: STATE }).waitFor();
      const state = await page.locator('[data-canary-state]').innerText();
      const weight = await page.locator('[data-canary-weight]').innerText();
      if (state === 'rolled back') assert.equal(weight, '0 %', 'a canary that was rolled back has no traffic');
      const decisions = canary.locator('table').last().locator('tbody tr');
      await decisions.first().waitFor();
      const newest = (await decisions.first().innerText()).replace(/\s+/g, ' ');
      if (state === 'rolled back') assert.match(newest, /rollback/);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(over <= 0, `the canary is ${over} px wider than the window of ${width} px`);
      await test.picture(page, `canary-${theme}-${width}`);
      test.passed(`the canary (${theme}, ${width} px) is ${state} at ${weight} after ${await decisions.count()} decisions; newest: ${newest}`);
    });
  }
}
