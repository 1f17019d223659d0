// dashboard_test.mjs: the control room in a real browser, against a collector that runs and has traffic.
//
// Environment:
//   HMS_COLLECTOR_URL   the collector, like http://127.0.0.1:9090 (required)
//   HMS_SCREENSHOTS     folder for pictures (default: a new temporary one, named at the end)
//   HMS_STAGE           what to check, separated by commas (default: frame)
//                         frame     both themes, 1280 and 390 px, keyboard, accessibility, nothing from other hosts; needs any traffic
//                         incident  while a service fails and is slow: spike on the live charts, alert, slow trace with its waterfall
//                         trace     the slow trace alone; works after the incident too
//                         canary    a canary that has run, with its record
//                         operate   silences an alert that fires and starts and rolls back a canary: changes the collector
//   HMS_INCIDENT_SERVICE  whose charts must show the spike (default claims)
//   HMS_P99_ABOVE_MS      bound that its p99 must pass (default 1000)
//   HMS_ERRORS_ABOVE      bound that its error rate must pass, in percent (default 5)
//   HMS_SLOWEST_HOP       service that the slow trace must point at (default store)
//   HMS_CANARY            the canary's name (default: the newest)   HMS_CANARY_STATE  its state, like "rolled back" (default: any)
//   HMS_TEST_PATIENCE     seconds that a single wait may take (default 30)   HMS_CHROMIUM  the browser (default /usr/bin/chromium)
//
// Exit: 0 all passed, 1 something did not (the last picture is failed.png), 2 wrong use, 77 no browser here (a skip for ctest).
import path from 'node:path';
import { CHROMIUM, launch, openPage, pictureFolder, whyNot } from './browser.mjs';
import { checkCanary } from './canary.mjs';
import { checkFrame } from './frame.mjs';
import { checkIncident, checkSlowTrace } from './incident.mjs';
import { checkOperate } from './operate.mjs';

const STAGES = { frame: checkFrame, incident: checkIncident, trace: checkSlowTrace, canary: checkCanary, operate: checkOperate };

const base = process.env.HMS_COLLECTOR_URL?.replace(/\/$/, '');
const stages = (process.env.HMS_STAGE ?? 'frame').split(',').map((stage) => stage.trim());
const unknown = stages.filter((stage) => !(stage in STAGES));
if (!base || unknown.length) {
  console.error(base ? `HMS_STAGE names "${unknown[0]}", expected ${Object.keys(STAGES).join(', ')}` : 'HMS_COLLECTOR_URL is not set: the address of a running collector');
  process.exit(2);
}
const missing = whyNot();
if (missing) {
  console.error(`skipped: ${missing}`);
  process.exit(77);
}

const pictures = pictureFolder();
const browser = await launch();
console.log(`${CHROMIUM} ${browser.version()} on ${base}; pictures in ${pictures}`);
let current = null;
const test = {
  base,
  pictures,
  /// A page of its own, closed afterwards; faults inside it fail the check.
  async with({ width = 1280, theme = 'dark' }, work) {
    const opened = (current = await openPage(browser, { width, theme, base }));
    await work(opened.page);
    if (opened.faults.length) throw new Error(`the page had faults:\n  ${[...new Set(opened.faults)].join('\n  ')}`);
    await opened.context.close();
    current = null;
  },
  async picture(page, name) {
    await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  },
  passed: (sentence) => console.log(`ok - ${sentence}`),
};

try {
  for (const stage of stages) await STAGES[stage](test);
  console.log('all passed');
} catch (error) {
  console.error(`not ok - ${error.stack ?? error}`);
  if (current) {
    await current.page.screenshot({ path: path.join(pictures, 'failed.png'), fullPage: true }).catch(() => {});
    console.error(`address: ${current.page.url()}\npage says:\n${(await current.page.locator('body').innerText().catch(() => '')).slice(0, 3000)}`);
  }
  process.exitCode = 1;
} finally {
  await browser.close();
}
