// operate.mjs: what an operator does, with the keyboard and the mouse, and what the collector says about it afterwards.
//
// Changes the collector: it silences an alert that fires (and ends the silence), and starts a canary (and rolls it back). Not for production.
import assert from 'node:assert/strict';

const SERVICE = process.env.HMS_INCIDENT_SERVICE ?? 'claims';
const NAME = `dashboard-test-${process.pid}`;

async function json(test, path) {
  const response = await fetch(`${test.base}${path}`);
  assert.equal(response.status, 200, path);
  return response.json();
}

async function silences(test) {
  await test.with({}, async (page) => {
    await page.goto(`${test.base}/#/alerts`);
    const alert = page.locator('[data-alerts] li', { hasText: SERVICE }).first();
    await alert.getByRole('button', { name: 'Silence' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Your name').fill('night shift');
    await dialog.getByLabel('Why').fill('known, being worked on <b>now</b>');
    await test.picture(page, 'operate-silence');
    await dialog.getByRole('button', { name: 'Silence', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    const made = (await json(test, '/ops/silences')).find((one) => one.createdBy === 'night shift' && Date.parse(one.endsAt) > Date.now());
    assert.ok(made?.matchers.some((matcher) => matcher.value === SERVICE), 'the collector has the silence');
    await page.getByText('known, being worked on <b>now</b>').waitFor();
    await page.getByRole('button', { name: 'End now' }).first().click();
    await page.getByRole('button', { name: 'End now' }).first().waitFor({ state: 'detached' });
    const after = (await json(test, '/ops/silences')).find((one) => one.id === made.id);
    assert.ok(!after || Date.parse(after.endsAt) <= Date.now() + 1000, 'the silence has ended');
  });
  test.passed('an alert is silenced with name and reason, and the silence is ended');
}

async function rollsOut(test) {
  await test.with({}, async (page) => {
    await page.goto(`${test.base}/#/canaries`);
    await page.getByRole('button', { name: 'Start a canary' }).click();
    const form = page.getByRole('dialog');
    await form.getByLabel('Name').fill(NAME);
    await form.getByLabel('Service').fill(SERVICE);
    await form.getByLabel('Baseline upstream').fill(`${SERVICE}-v1`);
    await form.getByLabel('Canary upstream').fill(`${SERVICE}-v1`);
    await form.getByRole('button', { name: /^Start/ }).click();
    await form.getByText('two different upstreams').waitFor();
    await form.getByLabel('Canary upstream').fill(`${SERVICE}-v2`);
    await form.getByLabel('Steps').fill('1, 2, 100');
    await form.getByLabel('Seconds a step').fill('600');
    await test.picture(page, 'operate-canary');
    await form.getByRole('button', { name: 'Start at 1 %' }).click();
    await form.waitFor({ state: 'detached' });
    await page.waitForURL(new RegExp(NAME));
    await page.locator('[data-canary]', { hasText: NAME }).waitFor();
    await page.getByRole('button', { name: 'Roll back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await page.locator('[data-canary-state]', { hasText: 'rolled back' }).waitFor();
    const canary = await json(test, `/ops/canaries/${NAME}`);
    assert.deepEqual([canary.state, canary.weight], ['rolled_back', 0]);
  });
  await fetch(`${test.base}/ops/canaries/${NAME}`, { method: 'DELETE' });
  test.passed('a canary is started from the form, which refuses nonsense, and rolled back after a question');
}

export async function checkOperate(test) {
  await silences(test);
  await rollsOut(test);
}
