import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MarkingControl, OptimizingControl } from '../../src/cli/v8-flags.ts';
import { type CopyEvent } from '../../src/index.ts';

const [one, two] = ['sha256:1', 'sha256:2'] as const;

function flagsAfter(...events: readonly object[]): readonly string[] {
  const flags: string[] = [];
  const marking = new MarkingControl((flag) => flags.push(flag));
  for (const event of events) marking.show(event as CopyEvent);
  return flags;
}

const started = (digest: string): object => ({ type: 'blob-started', digest, size: 1, name: 'layer' });
const stream = (digest: string, isOpen: boolean): object => ({ type: 'blob-stream', digest, isOpen });
const done = (digest: string): object => ({ type: 'blob-done', digest });

test('marking is off while one blob alone comes as one stream, and on again after', () => {
  assert.deepEqual(flagsAfter(started(one), stream(one, true)), ['--no-incremental-marking']);
  assert.deepEqual(flagsAfter(started(one), stream(one, true), stream(one, false), done(one)), [
    '--no-incremental-marking',
    '--incremental-marking',
  ]);
});

test('marking stays on while other blobs move as well', () => {
  assert.deepEqual(flagsAfter(started(one), started(two), stream(one, true)), []);
  assert.deepEqual(flagsAfter(started(one), stream(one, true), started(two), done(two)), [
    '--no-incremental-marking',
    '--incremental-marking',
    '--no-incremental-marking',
  ]);
});

test('marking is on again once the copy has ended, however it ends', () => {
  const flags: string[] = [];
  {
    using marking = new MarkingControl((flag) => flags.push(flag));
    for (const event of [started(one), stream(one, true)]) marking.show(event as CopyEvent);
  }
  assert.equal(flags.at(-1), '--incremental-marking');
});

function optimizedAfter(...sizes: readonly number[]): boolean {
  const flags: string[] = [];
  const optimizing = new OptimizingControl((flag) => flags.push(flag));
  for (const size of sizes) optimizing.show({ type: 'blob-started', digest: 'sha256:1', size, name: 'layer' });
  return flags.includes('--turbofan') && !flags.some((flag) => flag.startsWith('--no-'));
}

test('code is optimized from the first large blob on, or after many small ones, and not for a small image', () => {
  assert.equal(optimizedAfter(48 * 1024 * 1024), true);
  assert.equal(optimizedAfter(...Array.from({ length: 500 }, () => 1_000)), true);
  assert.equal(optimizedAfter(...Array.from({ length: 64 }, () => 400_000)), false);
});
