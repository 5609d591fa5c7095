import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../src/digest/digest.ts';
import { createCopier, ImgcopyError } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const layers = ['a', 'b'].map((seed) => randomBytes(seed, 60_000));

test('a limited copy that waits longer than the timeout has not stalled', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  await using copier = new TestCopier(home, { limitRate: 80_000, timeoutMs: 200, retryTimes: 0 });
  from.seed('app', 'v1', buildImage({ layers }));
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  await copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`);
  for (const layer of layers) {
    assert.ok(to.blob('copy', digestOf(layer))?.equals(layer));
    assert.ok((await readFile(join(home.path, 'image', digestHex(digestOf(layer))))).equals(layer));
  }
  assert.ok(copier.events.every(({ type }) => type !== 'retry'));
});

test('refuses a rate at which nothing would move', () => {
  for (const limitRate of [0, -1, NaN])
    assert.throws(
      () => createCopier({ limitRate }),
      (error) => error instanceof ImgcopyError && error.kind === 'usage',
    );
});
