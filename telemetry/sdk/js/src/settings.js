'use strict';
// settings.js: which collector, and under what name, found without anybody writing it down.
//
// Name: HMS_SERVICE, OTEL_SERVICE_NAME, the nearest package.json above the started script (our own does not count), the script's own name, "node".
// Collector: HMS_COLLECTOR, else http://127.0.0.1:9090. A wrong address is told once on stderr and nothing is sent.
const fs = require('node:fs');
const path = require('node:path');

const DEFAULT_COLLECTOR = 'http://127.0.0.1:9090';
const MAX_NAME = 128;

function packageName(directory) {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      const { name } = JSON.parse(fs.readFileSync(path.join(at, 'package.json'), 'utf8'));
      if (typeof name === 'string' && name && name !== 'hms-ops') return name.replace(/^@[^/]+\//, '');
    } catch {
      // No package.json here, or not a readable one: look one level up.
    }
    if (path.dirname(at) === at) return '';
  }
}

function serviceName(environment = process.env, script = process.argv[1]) {
  const given = environment.HMS_SERVICE || environment.OTEL_SERVICE_NAME;
  if (given) return given.slice(0, MAX_NAME);
  const directory = script ? path.dirname(path.resolve(script)) : process.cwd();
  const name = packageName(directory) || (script ? path.basename(script, path.extname(script)) : '') || 'node';
  return name.slice(0, MAX_NAME);
}

/// The address of /ingest, or null.
function ingestUrl(environment = process.env) {
  const text = environment.HMS_COLLECTOR || DEFAULT_COLLECTOR;
  try {
    const url = new URL(text.includes('://') ? text : `http://${text}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error('not http');
    url.pathname = `${url.pathname.replace(/\/$/, '')}/ingest`;
    return url;
  } catch {
    process.emitWarning(`hms-ops: HMS_COLLECTOR is "${text}", expected an address like ${DEFAULT_COLLECTOR}; nothing is sent`);
    return null;
  }
}

module.exports = { serviceName, ingestUrl };
