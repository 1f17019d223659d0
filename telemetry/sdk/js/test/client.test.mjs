// The client against a real HTTP server on loopback, each in a process of its own: environment, exit and signals are part of what is tested.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const sdk = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/// A collector that keeps what it is sent; `answer(n)` gives the status of the n-th request.
async function collector(answer = () => 202) {
  const requests = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (piece) => (text += piece));
    request.on('end', () => {
      requests.push({ headers: request.headers, items: JSON.parse(text), url: request.url });
      const status = answer(requests.length, requests.at(-1));
      if (status === 0) return request.socket.destroy();
      const reply = typeof status === 'object' ? status : { status, body: { accepted: requests.at(-1).items.length } };
      response.writeHead(reply.status, { 'content-type': 'application/json' }).end(JSON.stringify(reply.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    requests,
    items: () => requests.flatMap((request) => request.items),
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}

function project(name, packageName) {
  const directory = mkdtempSync(path.join(tmpdir(), 'hms-ops-'));
  mkdirSync(path.join(directory, 'node_modules'));
  symlinkSync(sdk, path.join(directory, 'node_modules', 'hms-ops'));
  if (packageName) writeFileSync(path.join(directory, 'package.json'), JSON.stringify({ name: packageName }));
  return path.join(directory, name);
}

async function run(source, { url, file = 'app.mjs', packageName = '', environment = {} } = {}) {
  const script = project(file, packageName);
  writeFileSync(script, source);
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(HMS_|OTEL_|NODE_)/.test(key)));
  const child = spawn(process.execPath, [script], { env: { ...inherited, ...(url ? { HMS_COLLECTOR: url } : {}), ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (piece) => (output += piece));
  child.stderr.on('data', (piece) => (errors += piece));
  const [code, signal] = await once(child, 'close');
  rmSync(path.dirname(script), { recursive: true, force: true });
  return { code, signal, output, errors };
}

test('two lines are enough: counts add up, logs and timings arrive, the name comes from package.json', async () => {
  const at = await collector();
  const ended = await run(
    `import { metric, log } from 'hms-ops';
     for (let i = 0; i < 1000; i++) metric.count('saved', 2, { region: 'coast' });
     metric.gauge('queue', 5); metric.gauge('queue', 7); metric.timing('save', 12.5);
     log.error('store is slow', { traceId: 'storm-1', error: new TypeError('boom'), big: 10n });`,
    { url: at.url, packageName: '@harbor/claims' },
  );
  await at.close();
  assert.equal(ended.code, 0, ended.errors);
  assert.equal(at.requests[0].url, '/ingest');
  const metrics = at.items().filter((item) => item.type === 'metric').map((item) => item.payload);
  assert.deepEqual(metrics.map(({ name, value, kind }) => [name, value, kind]).sort(), [['queue', 7, 'gauge'], ['save', 12.5, 'timing'], ['saved', 2000, 'count']]);
  assert.deepEqual(metrics.find((one) => one.name === 'saved').labels, { region: 'coast' });
  const record = at.items().find((item) => item.type === 'log').payload;
  assert.equal(record.service, 'claims');
  assert.equal(record.traceId, 'storm-1');
  assert.equal(record.error.message, 'boom');
  assert.equal(record.big, '10');
});

test('CommonJS and ESM share one client', async () => {
  const at = await collector();
  const ended = await run(
    `import { createRequire } from 'node:module'; import { stats } from 'hms-ops';
     createRequire(import.meta.url)('hms-ops').metric.count('a');
     console.log(stats().queued);`,
    { url: at.url },
  );
  await at.close();
  assert.equal(ended.output.trim(), '1');
  assert.equal(at.items().length, 1);
});

test('a batch keeps its number through retries, and numbers rise by one', async () => {
  const at = await collector((n) => [503, 0, 202][n - 1] ?? 202);
  const ended = await run(
    `const { log, flush } = require('hms-ops');
     log.info('one');
     (async () => { console.log(await flush(8000)); log.info('two'); console.log(await flush(8000)); })();`,
    { url: at.url, file: 'app.cjs' },
  );
  await at.close();
  assert.deepEqual(ended.output.trim().split('\n'), ['true', 'true']);
  const ids = at.requests.map((request) => request.headers['x-hms-batch']);
  assert.match(ids[0], /^[0-9a-f-]{36}\/1\/1$/);
  assert.deepEqual(ids.slice(0, 3), [ids[0], ids[0], ids[0]]);
  assert.equal(ids[3], ids[0].replace(/1$/, '2'));
});

test('what the collector refuses is counted, what it kept is not sent again', async () => {
  const at = await collector((n) => (n === 1 ? { status: 400, body: { accepted: 1, rejected: [{ index: 0, field: 'msg', error: 'too long' }] } } : 202));
  const ended = await run(
    `import { log, flush, stats } from 'hms-ops';
     log.info('bad'); log.info('good'); await flush(); const { sent, dropped } = stats(); console.log(JSON.stringify({ sent, dropped })); log.info('after');`,
    { url: at.url },
  );
  await at.close();
  assert.deepEqual(JSON.parse(ended.output), { sent: 1, dropped: { rejected: 1 } });
  assert.equal(at.requests.length, 2);
  assert.equal(at.requests[1].headers['x-hms-dropped'], 'rejected=1');
});

test('with the collector away nothing throws, memory is bounded, drops are counted, and the process ends', async () => {
  const ended = await run(
    `import { metric, log, stats } from 'hms-ops';
     for (let i = 0; i < 12000; i++) log.info('lost ' + i);
     metric.count('x', NaN); metric.count(); metric.timing('t', 'fast'); log.info({ toString() { throw new Error('evil'); } });
     const circle = {}; circle.self = circle; log.info('circle', circle);
     const { queued, dropped } = stats(); console.log(JSON.stringify({ queued, dropped }));`,
    { url: 'http://127.0.0.1:9' },
  );
  assert.equal(ended.code, 0, ended.errors);
  assert.deepEqual(JSON.parse(ended.output), { queued: 10000, dropped: { queue_full: 2001, invalid: 4 } });
});

test('process.exit, an uncaught error and SIGTERM still deliver the last records', async () => {
  for (const [end, expected] of [
    ['process.exit(3)', { code: 3, signal: null }],
    ['throw new Error("host bug")', { code: 1, signal: null }],
    ['process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)', { code: null, signal: 'SIGTERM' }],
  ]) {
    const at = await collector();
    const { code, signal } = await run(`import { log } from 'hms-ops'; log.warn('last words'); ${end};`, { url: at.url });
    await at.close();
    assert.deepEqual({ code, signal }, expected, end);
    assert.equal(at.items().at(-1)?.payload.msg, 'last words', end);
  }
});

test('a service that handles SIGTERM itself keeps doing so', async () => {
  const at = await collector();
  const ended = await run(
    `import { log } from 'hms-ops'; log.info('up');
     const alive = setInterval(() => {}, 1000);
     process.on('SIGTERM', () => { log.info('closing'); clearInterval(alive); });
     process.kill(process.pid, 'SIGTERM');`,
    { url: at.url },
  );
  await at.close();
  assert.equal(ended.code, 0);
  assert.deepEqual(at.items().map((item) => item.payload.msg), ['up', 'closing']);
});

test('a security log does not wait for the next second and carries its severity', async () => {
  let arrived;
  const first = new Promise((resolve) => (arrived = resolve));
  const at = await collector(() => (arrived(), 202));
  const ending = run(`import { log } from 'hms-ops'; log.security('seven failed logins', { account: 7 }); log.info('later'); setTimeout(() => {}, 300);`, { url: at.url });
  await first;
  assert.deepEqual(at.requests[0].items.map((item) => [item.payload.msg, item.payload.severity]), [['seven failed logins', 'security']]);
  await ending;
  await at.close();
});

test('flush waits for what is already on its way, and no longer than it was told', async () => {
  const at = await collector();
  const ended = await run(`import { log, flush } from 'hms-ops'; log.security('now'); log.info('then'); console.log(await flush());`, { url: at.url });
  assert.equal(ended.output.trim(), 'true', ended.errors);
  assert.deepEqual(at.requests.map((request) => request.items.length), [1, 1], 'each record once');
  await at.close();
  const silent = http.createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const url = `http://127.0.0.1:${silent.address().port}`;
  const gaveUp = await run(`import { log, flush } from 'hms-ops'; log.info('a'); console.log(await flush(50)); process.reallyExit(0);`, { url });
  silent.closeAllConnections();
  silent.close();
  assert.equal(gaveUp.output.trim(), 'false');
});

test('the service is named by HMS_SERVICE, then OTEL_SERVICE_NAME, then the script', async () => {
  const source = `import { stats } from 'hms-ops'; console.log(stats().service);`;
  const name = async (environment) => (await run(source, { file: 'harbor.mjs', environment })).output.trim();
  assert.equal(await name({ HMS_SERVICE: 'a', OTEL_SERVICE_NAME: 'b' }), 'a');
  assert.equal(await name({ OTEL_SERVICE_NAME: 'b' }), 'b');
  assert.equal(await name({}), 'harbor');
});

test('a wrong address is told once and breaks nothing', async () => {
  const ended = await run(`import { log } from 'hms-ops'; log.info('a'); log.info('b');`, { url: 'ftp://x y' });
  assert.equal(ended.code, 0);
  assert.equal(ended.errors.match(/HMS_COLLECTOR/g)?.length, 1);
});
