import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EARLY_SYNC_BYTES as LARGE, EarlySync } from '../../src/local/early-sync.ts';

test('a file is synced as it grows, one sync at a time, and once more at its end', async () => {
  const calls: string[] = [];
  let release: () => void = () => undefined;
  const file = new EarlySync({
    async datasync() {
      calls.push('datasync');
      await new Promise<void>((resolve) => (release = resolve));
    },
    sync: () => Promise.resolve(void calls.push('sync')),
  });
  file.wrote(LARGE - 1);
  assert.deepEqual(calls, []);
  file.wrote(1);
  file.wrote(LARGE);
  assert.deepEqual(calls, ['datasync']);
  const ending = file.end();
  release();
  await ending;
  assert.deepEqual(calls, ['datasync', 'sync']);
});

test('a sync that fails on the way fails the end, although the system would not tell of it again', async () => {
  const failure = new Error('EIO');
  const file = new EarlySync({ datasync: () => Promise.reject(failure), sync: () => Promise.resolve() });
  file.wrote(LARGE);
  await assert.rejects(file.end(), failure);
});

test('of several files that grow one is synced at a time, the others once it is done', async () => {
  const calls: string[] = [];
  let release: () => void = () => undefined;
  const fileOf = (name: string): EarlySync =>
    new EarlySync({
      async datasync() {
        calls.push(name);
        await new Promise<void>((resolve) => (release = resolve));
      },
      sync: () => Promise.resolve(void calls.push(`${name}, to its end`)),
    });
  const [one, other] = [fileOf('one'), fileOf('other')];
  one.wrote(LARGE);
  other.wrote(LARGE);
  assert.deepEqual(calls, ['one']);
  release();
  await one.end();
  other.wrote(1);
  assert.deepEqual(calls, ['one', 'one, to its end', 'other']);
  release();
  await other.end();
});
