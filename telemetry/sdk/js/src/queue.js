'use strict';
// queue.js: what waits to be sent, in bounded memory, and the batch that is on its way.
//
// One batch is out at a time. It keeps its number until it is acknowledged, so that a collector that has it already stores it not again.
// Limits: 10,000 records or 4 MiB waiting (beyond, new ones are dropped and counted), 1,000 records or 512 KiB a batch.
const { randomUUID } = require('node:crypto');

const MAX_RECORDS = 10_000;
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_BATCH_RECORDS = 1000;
const MAX_BATCH_BYTES = 512 * 1024;

class Queue {
  constructor() {
    this.instance = randomUUID();
    this.sequence = 0;
    this.items = [];
    this.bytes = 0;
    this.batch = null;
    this.dropped = {};
  }

  get length() {
    return this.items.length + (this.batch ? this.batch.records : 0);
  }

  add(item) {
    if (item === null) return this.count('invalid', 1);
    if (this.length >= MAX_RECORDS || this.bytes + item.length > MAX_BYTES) return this.count('queue_full', 1);
    this.items.push(item);
    this.bytes += item.length;
  }

  count(reason, records) {
    this.dropped[reason] = (this.dropped[reason] || 0) + records;
  }

  /// The batch to send: the one that was not acknowledged yet, else a new one. Null when nothing waits.
  next() {
    if (this.batch || this.items.length === 0) return this.batch;
    let records = 0;
    let bytes = 0;
    while (records < this.items.length && records < MAX_BATCH_RECORDS && (records === 0 || bytes + this.items[records].length <= MAX_BATCH_BYTES)) {
      bytes += this.items[records++].length;
    }
    const body = `[${this.items.splice(0, records).join(',')}]`;
    this.batch = { id: `${this.instance}/1/${++this.sequence}`, body, records, bytes };
    return this.batch;
  }

  /// The batch is stored, or never will be.
  finish() {
    if (this.batch) this.bytes -= this.batch.bytes;
    this.batch = null;
  }

  droppedHeader() {
    return Object.entries(this.dropped)
      .map(([reason, records]) => `${reason}=${records}`)
      .join(';');
  }
}

module.exports = { Queue, MAX_RECORDS, MAX_BATCH_RECORDS };
