import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadMeanwhile } from '../../src/library/load-meanwhile.ts';

test('loads what may be needed where answers take their time, once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let loaded = 0;
  const load = async (): Promise<never> => {
    loaded += 1;
    throw new Error('who needs it is told');
  };
  const answer = Promise.withResolvers<string>();
  const work = loadMeanwhile(load, () => answer.promise);
  t.mock.timers.tick(39);
  assert.equal(loaded, 0);
  t.mock.timers.tick(1);
  t.mock.timers.tick(1_000);
  assert.equal(loaded, 1);
  answer.resolve('done');
  assert.equal(await work, 'done');
});

test('loads nothing more once the work is done, or has failed', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let loaded = 0;
  const load = (): Promise<unknown> => Promise.resolve((loaded += 1));
  await loadMeanwhile(load, () => Promise.resolve());
  await assert.rejects(
    loadMeanwhile(load, () => Promise.reject(new Error('it fails'))),
    /it fails/,
  );
  t.mock.timers.tick(1_000);
  assert.equal(loaded, 0);
});
