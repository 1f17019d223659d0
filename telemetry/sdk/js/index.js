'use strict';
// index.js: what `require('hms-ops')` gives; index.mjs gives the same client to `import`, so that a process has one queue.
const { Client } = require('./src/client.js');

const client = new Client();

exports.metric = {
  count: (name, value, labels) => client.count(name, value, labels),
  gauge: (name, value, labels) => client.gauge(name, value, labels),
  timing: (name, milliseconds, labels) => client.timing(name, milliseconds, labels),
};
exports.log = {
  debug: (message, fields) => client.log('debug', message, fields),
  info: (message, fields) => client.log('info', message, fields),
  warn: (message, fields) => client.log('warn', message, fields),
  error: (message, fields) => client.log('error', message, fields),
  security: (message, fields) => client.log('error', message, fields, 'security'),
};
exports.flush = (milliseconds) => client.flush(milliseconds);
exports.stats = () => client.stats();
