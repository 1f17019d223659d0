import client from './index.js';

export const { metric, log, flush, stats } = client;
export default client;
