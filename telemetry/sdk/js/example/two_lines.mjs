// node example/two_lines.mjs   (HMS_COLLECTOR names a collector that is not on http://127.0.0.1:9090)
import { metric, log } from 'hms-ops';

const started = performance.now();
metric.count('claims.saved', 1, { region: 'coast' });
metric.timing('claims.save', performance.now() - started);
log.info('claim saved', { claim: 4711 });
