import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count, formatBytes, formatDuration, shortDigest } from '../../src/cli/format.ts';

const sizes: readonly (readonly [bytes: number, text: string])[] = [
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [99_900, '99.9 kB'],
  [99_960, '100 kB'],
  [999_999, '1.0 MB'],
  [131_000_000, '131 MB'],
  [1_500_000_000, '1.5 GB'],
  [2_000_000_000_000_000, '2000 TB'],
];

for (const [bytes, text] of sizes) {
  test(`${bytes} bytes are ${text}`, () => assert.equal(formatBytes(bytes), text));
}

const durations: readonly (readonly [ms: number, text: string])[] = [
  [0, '0.0 s'],
  [840, '0.8 s'],
  [59_940, '59.9 s'],
  [59_960, '1 min 0 s'],
  [119_600, '2 min 0 s'],
  [80_000, '1 min 20 s'],
  [7_500_000, '2 h 5 min'],
];

for (const [ms, text] of durations) {
  test(`${ms} ms are ${text}`, () => assert.equal(formatDuration(ms), text));
}

test('one is not many', () => {
  assert.deepEqual(
    [count(1, 'blob'), count(2, 'blob'), count(0, 'entry', 'entries')],
    ['1 blob', '2 blobs', '0 entries'],
  );
});

test('a digest is shown by its beginning', () => {
  assert.equal(shortDigest(`sha256:0123456789abcdef${'0'.repeat(48)}`), '0123456789ab');
});
