/** Short texts that tell series apart: route, region, outcome. Not user ids: each combination is a series of its own. */
export type Labels = Record<string, string | number | boolean>;

/** Anything that helps. `traceId` (the request's `x-trace` header) links the record to its trace. */
export type Fields = Record<string, unknown> & { traceId?: string };

export interface Metric {
  /** Adds to a counter; 1 when no value is given. Calls of one second are added up before they are sent. */
  count(name: string, value?: number, labels?: Labels): void;
  /** Sets a value that goes up and down. The last call of a second is sent. */
  gauge(name: string, value: number, labels?: Labels): void;
  /** One duration, in milliseconds. Quantiles are made by the collector. */
  timing(name: string, milliseconds: number, labels?: Labels): void;
}

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  /** `fields.error` may be an Error: its name, message and stack are kept. */
  error(message: string, fields?: Fields): void;
  /** Raises a critical alert with the security team within a second, whatever the thresholds. */
  security(message: string, fields?: Fields): void;
}

export interface Stats {
  /** The collector's /ingest, and the name this process reports as. */
  collector: string;
  service: string;
  /** Records waiting, sent and acknowledged, and lost by reason: `queue_full`, `invalid`, `rejected`. */
  queued: number;
  sent: number;
  dropped: Record<string, number>;
  /** Attempts that failed and are made again. */
  retries: number;
}

export declare const metric: Metric;
export declare const log: Log;
/** Sends what waits; resolves to true when all of it was acknowledged in time (default 2,000 ms). Never rejects. */
export declare function flush(milliseconds?: number): Promise<boolean>;
export declare function stats(): Stats;
