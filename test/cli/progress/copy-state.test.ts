import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CopyState } from '../../../src/cli/progress/copy-state.ts';
import type { CopyEvent } from '../../../src/index.ts';
import { blobDone, blobStarted } from './events.ts';

function stateAfter(...events: readonly (readonly [atMs: number, event: CopyEvent])[]): CopyState {
  const state = new CopyState(0);
  for (const [at, event] of events) state.apply(event, at);
  return state;
}

test('totals are those of the blobs seen so far, until the plan is known', () => {
  const events: readonly (readonly [number, CopyEvent])[] = [
    [0, blobStarted(1, 1000)],
    [0, blobStarted(2, 3000)],
    [500, { type: 'blob-progress', digest: blobStarted(1, 0).digest, bytes: 400 }],
  ];
  const { blobs, bytes, bytesDone, blobsDone, isFinal } = stateAfter(...events).totals(1000);
  assert.deepEqual(
    { blobs, bytes, bytesDone, blobsDone, isFinal },
    { blobs: 2, bytes: 4000, bytesDone: 400, blobsDone: 0, isFinal: false },
  );
  const planned = stateAfter(...events, [600, { type: 'planned', blobs: 5, bytes: 9000 }]).totals(1000);
  assert.deepEqual([planned.blobs, planned.bytes, planned.isFinal], [5, 9000, true]);
});

test('a blob that need not move counts as done, and not as speed', () => {
  const state = stateAfter(
    [0, blobStarted(1, 1000)],
    [10, blobDone(1, 1000, { outcome: 'reused', bytesReused: 1000 })],
  );
  const { bytesDone, blobsDone, bytesPerSecond, msLeft } = state.totals(1000);
  assert.deepEqual([bytesDone, blobsDone, bytesPerSecond, msLeft], [1000, 1, 0, undefined]);
});

test('the rate is that of the last four seconds', () => {
  const { digest } = blobStarted(1, 0);
  const state = stateAfter(
    [0, blobStarted(1, 100_000)],
    [1000, { type: 'blob-progress', digest, bytes: 40_000 }],
    [9000, { type: 'blob-progress', digest, bytes: 60_000 }],
  );
  assert.equal(state.totals(10_000).bytesPerSecond, 5000);
  assert.equal(state.totals(14_000).bytesPerSecond, 0);
});

test('no time left is shown in the first three seconds; then it follows from the last fifteen', () => {
  const { digest } = blobStarted(1, 0);
  const state = stateAfter(
    [0, blobStarted(1, 104_000_000)],
    [1000, { type: 'blob-progress', digest, bytes: 10_000_000 }],
  );
  assert.equal(state.totals(2_999).msLeft, undefined);
  state.apply({ type: 'blob-progress', digest, bytes: 50_000_000 }, 5_000);
  // 50 MB in 5 s, and 54 MB to go.
  assert.equal(state.totals(5_000).msLeft, 5_400);
  // A pause of a second does not make it jump.
  assert.equal(Math.round(state.totals(6_000).msLeft ?? 0), 6_480);
});

test('bytes that have left the source and are not at the destination yet count as time left', () => {
  const blobs = [1, 2, 3, 4].map((number) => blobStarted(number, 1_000_000));
  const state = stateAfter(...blobs.map((event) => [0, event] as const));
  for (const { digest } of blobs) state.apply({ type: 'blob-progress', digest, bytes: 1_000_000 }, 1_000);
  assert.equal(state.totals(4_000).msLeft, undefined);
  state.apply(blobDone(1, 1_000_000, { bytesFetched: 1_000_000 }), 4_000);
  assert.equal(state.totals(4_000).msLeft, 12_000);
});

test('no time left is shown while the source is stalled', () => {
  const { digest } = blobStarted(1, 0);
  const state = stateAfter(
    [0, blobStarted(1, 100_000_000)],
    [4_000, { type: 'blob-progress', digest, bytes: 50_000_000 }],
  );
  assert.notEqual(state.totals(7_000).msLeft, undefined);
  assert.equal(state.totals(8_000).msLeft, undefined);
});

test('a blob that starts again does not slow down what was fast', () => {
  const { digest } = blobStarted(1, 0);
  const state = stateAfter(
    [0, blobStarted(1, 10_000)],
    [1000, { type: 'blob-progress', digest, bytes: 8000 }],
    [1100, { type: 'blob-progress', digest, bytes: 0 }],
    [2000, { type: 'blob-progress', digest, bytes: 2000 }],
  );
  assert.equal(state.totals(2000).bytesDone, 2000);
  assert.equal(state.totals(2000).bytesPerSecond, 5000);
});

test('blobs come in the order they were started in, each with its end', () => {
  const state = stateAfter(
    [0, blobStarted(2, 20)],
    [0, blobStarted(1, 10)],
    [50, blobDone(2, 20, { outcome: 'mounted', from: 'other/app' })],
  );
  const [first, second] = state.blobs(60);
  assert.deepEqual([first?.end?.outcome, first?.end?.from, first?.end?.at], ['mounted', 'other/app', 50]);
  assert.deepEqual([second?.size, second?.end], [10, undefined]);
});
