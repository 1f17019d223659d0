// read.mjs LAKE DAY: rows and sums of every table of a day, by each independent reader that is installed, as JSON.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

const [lake, day] = process.argv.slice(2);
const folder = join(lake, `day=${day}`);
const summed = { spans: ['duration_nanos', 'http_status_code'], logs: ['severity_number'], metrics: [], histograms: ['count', 'zero_count'],
  edges: ['requests', 'errors', 'zero_count'], 'edge-hours': ['requests', 'errors', 'zero_count'] };
const tables = Object.fromEntries(Object.keys(summed).map((table) => [
  table, readdirSync(folder).filter((name) => name.startsWith(`${table}-`)).sort().map((name) => join(folder, name))]));

async function byHyparquet(table, files, columns) {
  let rows = 0;
  const durations = [];
  const sums = Object.fromEntries(columns.map((column) => [column, 0n]));
  for (const name of files) {
    const file = await asyncBufferFromFile(name);
    for (const row of await parquetReadObjects({ file, compressors })) {
      ++rows;
      for (const column of columns) sums[column] += BigInt(row[column]);
      if ('duration_nanos' in row) durations.push(row.duration_nanos);
      const service = table.startsWith('edge') ? row.to : row.service;
      if (typeof service !== 'string') throw new Error(`${name}: service is ${typeof service}`);
    }
  }
  durations.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return { rows, sums: texts(sums), p99: String(durations[Math.ceil(durations.length * 0.99) - 1]) };
}

const texts = (sums) => Object.fromEntries(Object.entries(sums).map(([column, sum]) => [column, String(BigInt.asUintN(64, sum))]));

const result = { hyparquet: {} };
for (const [table, columns] of Object.entries(summed)) {
  if (tables[table].length > 0) result.hyparquet[table] = await byHyparquet(table, tables[table], columns);
}

// DuckDB is large; where it is installed it is asked, too.
const duckdb = await import('@duckdb/node-api').catch(() => null);
if (duckdb) {
  const connection = await (await duckdb.DuckDBInstance.create(':memory:')).connect();
  result.duckdb = {};
  for (const [table, columns] of Object.entries(summed)) {
    if (tables[table].length === 0) continue;
    const list = tables[table].map((name) => `'${name.replaceAll("'", "''")}'`).join(',');
    const sums = columns.map((column) => `, sum(${column})::VARCHAR AS ${column}`).join('');
    const p99 = table === 'spans' ? ', quantile_disc(duration_nanos, 0.99)::VARCHAR AS p99' : '';
    const reader = await connection.runAndReadAll(`SELECT count(*)::INTEGER AS rows${p99}${sums} FROM read_parquet([${list}])`);
    const [{ rows, p99: quantile, ...found }] = reader.getRowObjects();
    result.duckdb[table] = { rows, p99: quantile, sums: Object.fromEntries(Object.entries(found).map(([column, sum]) => [column, String(BigInt.asUintN(64, BigInt(sum)))])) };
  }
}
console.log(JSON.stringify(result));
