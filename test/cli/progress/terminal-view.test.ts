import assert from 'node:assert/strict';
import { stripVTControlCharacters } from 'node:util';
import { test } from 'node:test';
import { chalkStderr } from 'chalk';
import { CopyState } from '../../../src/cli/progress/copy-state.ts';
import { drawCopies, drawCopy } from '../../../src/cli/progress/terminal-view.ts';
import { blobDone, blobStarted } from './events.ts';

const started = { type: 'started', source: 'docker://a.test/app:1', destination: 'dir:app' } as const;

/** A copy of three layers after two seconds: one is done, one half, one at its beginning. */
function midway(): CopyState {
  const state = new CopyState(0);
  state.apply(started, 0);
  state.apply({ type: 'planned', blobs: 3, bytes: 30_000_000 }, 0);
  for (const number of [1, 2, 3]) state.apply(blobStarted(number, 10_000_000), 0);
  state.apply(blobDone(1, 10_000_000, { outcome: 'partial', bytesFetched: 1_000_000, bytesReused: 9_000_000 }), 1500);
  state.apply({ type: 'blob-progress', digest: blobStarted(2, 0).digest, bytes: 5_000_000 }, 2000);
  return state;
}

function plain(lines: readonly string[]): readonly string[] {
  return lines.map((line) => stripVTControlCharacters(line));
}

test('a copy is a line for the whole, one for each blob under way, and what became of those that just ended', () => {
  assert.deepEqual(plain(drawCopy(midway(), { columns: 100, rows: 24 }, 2000)), [
    '1 of 3 blobs  15.0 MB of 30.0 MB  2.5 MB/s',
    '  layer  d4735e3a265e  ━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌    5.0 MB of  10.0 MB   2.5 MB/s',
    '  layer  4e07408562be  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌       0 B of  10.0 MB      0 B/s',
    '✓ layer  6b86b273ff34  10.0 MB partly reused: 9.0 MB (90 %) reused, 1.0 MB downloaded',
  ]);
});

test('of several destinations each has its name, its line, and as many blobs as there is room for', () => {
  const other = new CopyState(0);
  other.apply({ ...started, destination: 'docker://registry.test/some/long/name:v1' }, 0);
  for (const number of [1, 2]) other.apply(blobStarted(number, 10_000_000), 0);
  const shown = plain(drawCopies([midway(), other], { columns: 60, rows: 6 }, 2000));
  assert.deepEqual(shown, [
    'dir:app  1 of 3 blobs  15.0 MB of 30.0 MB  2.5 MB/s  (…',
    '  layer  d4735e3a265e    5.0 MB of  10.0 MB   2.5 MB/s',
    '…me/long/name:v1  0 of 2 blobs  0 B of 20.0 MB  0 B/s  (…',
    '  layer  6b86b273ff34       0 B of  10.0 MB      0 B/s',
  ]);
});

test('a blob that has ended goes after a while', () => {
  assert.equal(drawCopy(midway(), { columns: 100, rows: 24 }, 4000).length, 3);
});

test('a narrow terminal drops columns, and cuts none', () => {
  const shown = (columns: number): readonly string[] => plain(drawCopy(midway(), { columns, rows: 24 }, 2000));
  assert.deepEqual(shown(60), [
    '1 of 3 blobs  15.0 MB of 30.0 MB  2.5 MB/s',
    '  layer  d4735e3a265e    5.0 MB of  10.0 MB   2.5 MB/s',
    '  layer  4e07408562be       0 B of  10.0 MB      0 B/s',
    '✓ layer  6b86b273ff34  10.0 MB partly reused',
  ]);
  assert.deepEqual(shown(40), [
    '1 of 3 blobs  15.0 MB of 30.0 MB',
    '  layer  d4735e3a265e  50 %',
    '  layer  4e07408562be  0 %',
    '✓ layer  6b86b273ff34  partly reused',
  ]);
});

test('a blob whose bytes have all left the source is shown as uploading', () => {
  const state = new CopyState(0);
  state.apply({ ...started, destination: 'docker://b.test/app:1' }, 0);
  state.apply(blobStarted(1, 10_000_000), 0);
  state.apply({ type: 'blob-progress', digest: blobStarted(1, 0).digest, bytes: 10_000_000 }, 1000);
  assert.match(
    plain(drawCopy(state, { columns: 100, rows: 24 }, 1000))[1] ?? '',
    /10\.0 MB of {2}10\.0 MB {2}uploading$/,
  );
  assert.match(
    plain(drawCopy(state, { columns: 40, rows: 24 }, 1000))[1] ?? '',
    /^ {2}layer {2}[0-9a-f]{12} {2}uploading$/,
  );
});

for (const columns of [10, 20, 40, 60, 80, 120, 200]) {
  test(`every line leaves the last columns of a terminal of ${columns} free, colours or not`, () => {
    const level = chalkStderr.level;
    chalkStderr.level = 1;
    try {
      const [head = '', ...lines] = plain(drawCopy(midway(), { columns, rows: 24 }, 2000));
      assert.ok(head.length <= columns - 5);
      for (const line of lines) assert.ok(line.length <= columns - 3, line);
    } finally {
      chalkStderr.level = level;
    }
  });
}

test('a low terminal is not scrolled: the rest is counted', () => {
  const state = new CopyState(0);
  state.apply(started, 0);
  for (let number = 0; number < 10; number += 1) state.apply(blobStarted(number, 1000), 0);
  const lines = drawCopy(state, { columns: 100, rows: 6 }, 0);
  assert.equal(lines.length, 5);
  assert.match(lines[0] ?? '', /\(\+6 more\)/);
});

test('it says what it waits for while there are no blobs, and when all are done', () => {
  const state = new CopyState(0);
  const head = (): string | undefined => plain(drawCopy(state, { columns: 100, rows: 24 }, 0))[0];
  assert.equal(head(), 'connecting to source and destination');
  state.apply(started, 0);
  assert.equal(head(), 'reading docker://a.test/app:1');
  state.apply({ type: 'planned', blobs: 1, bytes: 5 }, 0);
  state.apply(blobStarted(1, 5), 0);
  state.apply(blobDone(1, 5), 0);
  assert.equal(head(), 'writing dir:app');
});
