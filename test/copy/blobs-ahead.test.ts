import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { BlobsAhead } from '../../src/copy/blobs-ahead.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { fakeRun, layerOf, type FakeRun } from '../support/fakes.ts';

test('a blob is brought once, whether it comes twice, or the copy wants it before or after that', async () => {
  const [early, late] = [Buffer.from('early'), Buffer.from('late')];
  const fake = fakeRun({ blobs: [late] });
  await using ahead = openAhead(fake);
  for (const bytes of [early, early]) ahead.add({ digest: digestOf(bytes), size: bytes.length, open: opening(bytes) });
  const copying = ahead.bring(fake.run, layerOf(late), {});
  ahead.add({ digest: digestOf(late), size: late.length, open: opening(late) });
  const copied = [await ahead.bring(fake.run, layerOf(early), {}), await copying];
  assert.deepEqual(
    copied.map(({ outcome }) => outcome),
    ['copied', 'copied'],
  );
  assert.deepEqual([fake.stored.get(digestOf(early)), fake.stored.get(digestOf(late))], [early, late]);
  assert.equal(fake.calls.filter((call) => call === 'putBlobWithOptions').length, 2);
});

test('of many blobs, no more than 1000 go ahead', async () => {
  const fake = fakeRun();
  const all = Array.from({ length: 1_100 }, (_, number) => Buffer.from(`blob ${number}`));
  await using ahead = openAhead(fake);
  for (const bytes of all) ahead.add({ digest: digestOf(bytes), size: bytes.length, open: opening(bytes) });
  await ahead.bring(fake.run, layerOf(all[999]!), {});
  assert.ok(fake.stored.size <= 1_000, `${fake.stored.size}`);
  assert.ok(!fake.stored.has(digestOf(all[1_000]!)));
});

function openAhead({ run }: FakeRun): BlobsAhead {
  return new BlobsAhead({
    open: () => Promise.resolve({ ...run, openCache: () => Promise.resolve(run.cache) }),
    isNamed: true,
    reference: 'fake:source',
    signal: run.signal,
  });
}

function opening(bytes: Buffer): () => Readable {
  return () => Readable.from([bytes], { objectMode: false });
}
