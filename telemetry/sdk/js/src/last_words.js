'use strict';
// last_words.js: sends what is left when the process ends without time for promises (process.exit, an uncaught error).
//
// Run as a child with the batches on its standard input: {"url", "dropped", "batches": [...]}. The parent waits at most a second.
const { post } = require('./post.js');

let text = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (piece) => (text += piece));
process.stdin.on('end', async () => {
  const { url, dropped, batches } = JSON.parse(text);
  for (const batch of batches) {
    const answer = await post(new URL(url), batch, dropped, true);
    if (answer.outcome === 'retry') break;
  }
  process.exit(0);
});
