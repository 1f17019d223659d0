// frame.mjs: what must hold whatever the services do: it opens, it fits, it can be read, it can be used without a mouse.
import assert from 'node:assert/strict';
import { axeBuilder } from './browser.mjs';

const VIEWS = ['overview', 'traces', 'logs', 'alerts', 'canaries', 'delivery'];

async function opened(test, page, hash) {
  await page.goto(`${test.base}/#/${hash}`);
  await page.locator('main h1').first().waitFor();
  await page.locator('[data-connection][data-state="live"], [data-connection][data-state="idle"]').waitFor();
}

async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${what}: the page is ${over} px wider than the window`);
}

/// WCAG 2.1 A and AA, colour contrast among them.
async function accessible(page, what) {
  const AxeBuilder = axeBuilder();
  // Legacy mode analyses in the page itself; the other one opens a second page each time, which is for frames, and we have none.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode(true).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']).analyze();
  const said = violations.map((one) => `${one.id}: ${one.help} (${one.nodes.slice(0, 3).map((node) => node.target.join(' ')).join('; ')})`);
  assert.deepEqual(said, [], `${what} has accessibility faults`);
}

async function keyboard(test) {
  await test.with({}, async (page) => {
    await opened(test, page, 'overview');
    await page.locator('[data-services] tbody tr').first().waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await page.waitForURL(/#\/traces/);
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement?.hasAttribute('data-search')), true, '"/" must put the focus into the search');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
    await page.keyboard.press('g');
    await page.keyboard.press('o');
    await page.waitForURL(/#\/overview/);
    await page.locator('[data-services] tbody tr').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(/#\/service\//);
    await page.locator('[data-charts] canvas').first().waitFor();
  });
  test.passed('the keyboard alone opens views, the search, the help and a service');
}

/// What the switch says counts, whatever the system prefers; a reload keeps it.
async function themeSwitch(test) {
  await test.with({ theme: 'dark' }, async (page) => {
    await opened(test, page, 'overview');
    const shown = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await shown(), 'dark');
    while ((await page.locator('[data-theme-switch]').getAttribute('aria-label')) !== 'Theme: light') await page.locator('[data-theme-switch]').click();
    assert.equal(await shown(), 'light');
    await page.reload();
    await page.locator('main h1').first().waitFor();
    assert.equal(await shown(), 'light');
  });
  test.passed('the theme switch wins over the system and is kept');
}

export async function checkFrame(test) {
  for (const theme of ['dark', 'light']) {
    for (const width of [1280, 390]) {
      await test.with({ width, theme }, async (page) => {
        for (const view of VIEWS) {
          await opened(test, page, view);
          if (view === 'overview') await page.locator('[data-services] tbody tr').first().waitFor();
          await page.locator('main').evaluate(() => document.fonts.ready);
          await fits(page, `${view}, ${width} px`);
          // Colours are the theme's and structure the width's: three of the four pairs see all of both, and a busy machine is done sooner.
          if (theme === 'light' || width > 600) await accessible(page, `${view}, ${theme}, ${width} px`);
          await test.picture(page, `${view}-${theme}-${width}`);
        }
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
      });
      test.passed(`${VIEWS.length} views in ${theme} at ${width} px: no sideways scroll,${theme === 'light' || width > 600 ? ' no accessibility fault,' : ''} nothing from other hosts`);
    }
  }
  await keyboard(test);
  await themeSwitch(test);
}
