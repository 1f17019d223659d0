'use strict';
// post.js: one POST of one batch. Says what became of it: 'stored', 'retry' or 'rejected'. Never throws, never keeps the process alive.
const http = require('node:http');
const https = require('node:https');

const TIMEOUT_MS = 5000;
const MAX_REPLY = 65_536;
const RETRY = new Set([408, 425, 429, 500, 502, 503, 504]);

const agents = {
  'http:': new http.Agent({ keepAlive: true, maxSockets: 1, timeout: 30_000 }),
  'https:': new https.Agent({ keepAlive: true, maxSockets: 1, timeout: 30_000 }),
};

function retryAfter(value) {
  const seconds = Number(value);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(60_000, seconds * 1000) : 0;
}

function judge(status, headers, text) {
  if (status >= 200 && status < 300) return { outcome: 'stored', rejected: 0 };
  if (RETRY.has(status)) return { outcome: 'retry', after: retryAfter(headers['retry-after']) };
  // 400 keeps the good records of the batch and names the bad ones.
  try {
    const reply = JSON.parse(text);
    if (status === 400 && Array.isArray(reply.rejected)) return { outcome: 'stored', rejected: reply.rejected.length };
  } catch {
    // Not our collector's JSON: the whole batch counts as refused.
  }
  return { outcome: 'rejected' };
}

/// `hold`: keep the process alive until the answer (used when flushing on purpose).
function post(url, batch, dropped, hold) {
  return new Promise((resolve) => {
    const body = Buffer.from(batch.body);
    const headers = { 'content-type': 'application/json', 'content-length': body.length, 'x-hms-batch': batch.id };
    if (dropped) headers['x-hms-dropped'] = dropped;
    const request = (url.protocol === 'https:' ? https : http).request(url, { method: 'POST', headers, agent: agents[url.protocol] });
    const deadline = setTimeout(() => request.destroy(new Error('timeout')), TIMEOUT_MS);
    if (!hold) deadline.unref();
    const done = (answer) => {
      clearTimeout(deadline);
      resolve(answer);
    };
    request.on('socket', (socket) => (hold ? socket.ref() : socket.unref()));
    request.on('error', () => done({ outcome: 'retry', after: 0 }));
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => {
        if (text.length < MAX_REPLY) text += piece;
      });
      response.on('end', () => done(judge(response.statusCode, response.headers, text)));
      response.on('error', () => done({ outcome: 'retry', after: 0 }));
    });
    request.end(body);
  });
}

module.exports = { post };
