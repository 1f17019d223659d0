import { expect, test } from 'vitest';
import { firstTrace, linkify } from '../src/lib/linkify';

test('trace ids and web addresses become links, the rest stays text', () => {
  const id = '01a2029bb9e17021971c36f35c834043';
  expect(linkify(`slow: ${id}, see https://wiki.example/run?x=1 now`)).toEqual([
    { text: 'slow: ' },
    { text: id, trace: id },
    { text: ', see ' },
    { text: 'https://wiki.example/run?x=1', url: 'https://wiki.example/run?x=1' },
    { text: ' now' },
  ]);
  expect(linkify('')).toEqual([]);
});

test('nothing that could run becomes a link', () => {
  for (const hostile of ['javascript:alert(1)', 'data:text/html,x', '<a href="x">', 'xhttp://']) expect(linkify(hostile)).toEqual([{ text: hostile }]);
});

test('the first trace of an alert is found', () => {
  expect(firstTrace({ summary: 'x', example_traces: '01a2029b-b9e1-7021-971c-36f35c834043 4.0 s' })).toBe('01a2029b-b9e1-7021-971c-36f35c834043');
  expect(firstTrace({ traceId: 'storm-1' })).toBe('storm-1');
  expect(firstTrace({})).toBe('');
});
