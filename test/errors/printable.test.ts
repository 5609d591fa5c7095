import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeUnprintable, excerpt, printable, printableJson, quote } from '../../src/errors/printable.ts';

test('text of others cannot steer the terminal, nor turn around what follows it', () => {
  assert.equal(printable('a\u001B[2Jb\r\nc\u202Ed\u2028e\u0007'), 'a [2Jb c d e ');
  assert.equal(printable('näher → 日本'), 'näher → 日本');
});

test('an excerpt is one short line', () => {
  assert.equal(excerpt('  out of\n order\u009B '), 'out of  order');
  assert.equal(excerpt('x'.repeat(201)), `${'x'.repeat(200)}…`);
});

test('what was found is quoted with escapes, and cut', () => {
  assert.equal(quote('a"\n\u202Eb'), String.raw`"a\"\n\u202eb"`);
  assert.equal(quote('x'.repeat(10), 3), '"xxx…"');
});

test('JSON for a terminal means the same', () => {
  const value = { 'k\u009B': ['\u202E', '\u{E0001}', 'näher', '\u2028'] };
  const text = printableJson(value);
  assert.match(text, /^[\u0020-\u007Eä]*$/u);
  assert.deepEqual(JSON.parse(text), value);
});

test('lines and tabs of a document stay', () => {
  assert.equal(escapeUnprintable('{\r\n\t"a": "\u0085"\r}\n'), '{\n\t"a": "\\u0085"\\u000d}\n');
});
