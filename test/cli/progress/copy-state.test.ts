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

test('the rate is that of the last seconds, and the time left follows from it', () => {
  const { digest } = blobStarted(1, 0);
  const state = stateAfter(
    [0, blobStarted(1, 100_000)],
    [1000, { type: 'blob-progress', digest, bytes: 40_000 }],
    [9000, { type: 'blob-progress', digest, bytes: 60_000 }],
  );
  const { bytesPerSecond, msLeft } = state.totals(10_000);
  assert.deepEqual([bytesPerSecond, msLeft], [5000, 8000]);
  assert.equal(state.totals(14_000).bytesPerSecond, 0);
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
