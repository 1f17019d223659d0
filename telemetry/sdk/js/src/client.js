'use strict';
// client.js: takes calls from the application, adds counts up, sends once a second, and does so at the end.
//
// Rules: no call throws, blocks or keeps the process alive; a collector that is away costs bounded memory and nothing else.
// Back-off 250 ms .. 30 s with full jitter, or what Retry-After says.
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { isMainThread } = require('node:worker_threads');
const { cleanLabels, logItem, metricItem } = require('./items.js');
const { post } = require('./post.js');
const { Queue } = require('./queue.js');
const { ingestUrl, serviceName } = require('./settings.js');

const SEND_EVERY_MS = 1000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
const MAX_SERIES = 2000;
const LAST_WORDS_MS = 1000;

class Client {
  constructor() {
    this.queue = new Queue();
    this.series = new Map();
    this.sent = 0;
    this.retries = 0;
    this.failures = 0;
    this.sending = null;
    this.timer = null;
    this.started = false;
  }

  count(name, value = 1, labels = undefined) {
    this.guard(() => this.fold('count', name, value, labels));
  }

  gauge(name, value, labels = undefined) {
    this.guard(() => this.fold('gauge', name, value, labels));
  }

  timing(name, milliseconds, labels = undefined) {
    this.guard(() => this.queue.add(metricItem('timing', name, milliseconds, cleanLabels(labels), this.service, Date.now())));
  }

  log(level, message, fields, severity) {
    this.guard(() => {
      this.queue.add(logItem(level, message, fields, severity, this.service, Date.now()));
      // A security log is worth a request of its own: it should be with the collector within a moment.
      if (severity === 'security') this.send();
    });
  }

  stats() {
    this.start();
    return {
      collector: this.url ? this.url.href : '',
      service: this.service,
      queued: this.queue.length + this.series.size,
      sent: this.sent,
      dropped: { ...this.queue.dropped },
      retries: this.retries,
    };
  }

  async flush(milliseconds = 2000) {
    this.start();
    if (!this.url) return false;
    const deadline = Date.now() + milliseconds;
    // A request that is already under way does not keep the process alive; whoever waits for a flush does.
    let wake;
    const late = new Promise((resolve) => (wake = resolve));
    const alive = setTimeout(wake, milliseconds);
    this.drainSeries();
    while (this.queue.length > 0 && Date.now() < deadline) {
      await Promise.race([this.send(true), late]);
      if (this.queue.length > 0 && this.failures > 0) await new Promise((resolve) => setTimeout(resolve, Math.min(100, Math.max(1, deadline - Date.now()))));
    }
    clearTimeout(alive);
    return this.queue.length === 0;
  }

  // --- inside ---

  guard(work) {
    try {
      this.start();
      if (this.url) work();
    } catch {
      this.queue.count('invalid', 1);
    }
  }

  /// At the first call, not at import: a program that sends nothing has no timer and no handlers.
  start() {
    if (this.started) return;
    this.started = true;
    this.service = serviceName();
    this.url = ingestUrl();
    if (!this.url) return;
    this.arm(SEND_EVERY_MS);
    process.on('beforeExit', () => {
      if (this.queue.length + this.series.size > 0 && this.failures < 3) void this.flush();
    });
    process.on('exit', () => this.lastWords());
    if (isMainThread) for (const signal of ['SIGTERM', 'SIGINT']) this.onSignal(signal);
  }

  /// If nobody else handles the signal, the process still dies of it, as it would have without us.
  onSignal(signal) {
    const handler = () => {
      if (process.listenerCount(signal) > 1) return;
      this.lastWords();
      process.removeListener(signal, handler);
      process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }

  /// Counts add up and gauges are overwritten until the next second: a busy loop costs one record, not thousands.
  fold(kind, name, value, labels) {
    const clean = cleanLabels(labels);
    if (typeof name !== 'string' || name === '' || typeof value !== 'number' || !Number.isFinite(value)) return this.queue.count('invalid', 1);
    const key = `${kind}\n${name}\n${JSON.stringify(clean)}`;
    const known = this.series.get(key);
    if (known) known.value = kind === 'count' ? known.value + value : value;
    else if (this.series.size >= MAX_SERIES) this.queue.count('queue_full', 1);
    else this.series.set(key, { kind, name, value, labels: clean });
  }

  drainSeries() {
    const time = Date.now();
    for (const { kind, name, value, labels } of this.series.values()) this.queue.add(metricItem(kind, name, value, labels, this.service, time));
    this.series.clear();
  }

  arm(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tick(), milliseconds);
    this.timer.unref();
  }

  async tick() {
    this.drainSeries();
    let answer = await this.send();
    // A backlog after an outage goes out batch after batch, not one a second.
    while (answer === 'stored' && this.queue.items.length > 0) answer = await this.send();
    this.arm(this.failures === 0 ? SEND_EVERY_MS : this.pause);
  }

  /// Sends one batch; a second caller waits for the first one's answer.
  send(hold = false) {
    this.sending ??= this.sendOne(hold).finally(() => (this.sending = null));
    return this.sending;
  }

  async sendOne(hold) {
    const batch = this.queue.next();
    if (!batch) return 'nothing';
    const { outcome, rejected = 0, after = 0 } = await post(this.url, batch, this.queue.droppedHeader(), hold);
    if (outcome === 'retry') {
      this.failures++;
      this.retries++;
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, this.failures));
      this.pause = after || Math.max(FIRST_PAUSE_MS, Math.random() * longest);
      return outcome;
    }
    this.failures = 0;
    this.sent += outcome === 'stored' ? batch.records - rejected : 0;
    this.queue.finish();
    if (outcome === 'rejected' || rejected) this.queue.count('rejected', rejected || batch.records);
    return outcome;
  }

  /// The batch on its way may have arrived: it goes again under its own number, and the collector knows it.
  lastWords() {
    try {
      this.drainSeries();
      const batches = [];
      for (let batch = this.queue.next(); batch; batch = this.queue.next()) {
        batches.push(batch);
        this.queue.finish();
      }
      if (batches.length === 0 || this.failures >= 3) return;
      const input = JSON.stringify({ url: this.url.href, dropped: this.queue.droppedHeader(), batches });
      spawnSync(process.execPath, [path.join(__dirname, 'last_words.js')], { input, timeout: LAST_WORDS_MS, stdio: ['pipe', 'ignore', 'ignore'], env: cleanEnvironment() });
    } catch {
      // The process ends; there is nobody left to tell.
    }
  }
}

/// The child must not load what the parent was told to load.
function cleanEnvironment() {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

module.exports = { Client };
