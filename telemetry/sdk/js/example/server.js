'use strict';
// A small unmodified service with its own words: node example/server.js, then curl http://127.0.0.1:8080/claims/4711
const http = require('node:http');
const { metric, log } = require('hms-ops');

http
  .createServer((request, response) => {
    const started = process.hrtime.bigint();
    const traceId = request.headers['x-trace'];
    response.on('finish', () => {
      metric.timing('claims.answer', Number(process.hrtime.bigint() - started) / 1e6, { status: response.statusCode });
    });
    if (!request.url.startsWith('/claims/')) {
      log.warn('no such page', { path: request.url, traceId });
      response.writeHead(404).end('not found\n');
      return;
    }
    metric.count('claims.read');
    log.info('claim read', { path: request.url, traceId });
    response.end('a claim\n');
  })
  .listen(Number(process.env.PORT ?? 8080), '127.0.0.1', function listening() {
    log.info('claims listens', { port: this.address().port });
  });
