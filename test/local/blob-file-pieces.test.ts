import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  assertPublished,
  content,
  handlePrototype,
  open,
  partialName,
  streamOf,
  temporaryDirectory,
} from './one-blob.ts';

test('takes pieces in any order, side by side', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const pieceLength = 100_001;
  const offsets = Array.from({ length: Math.ceil(content.length / pieceLength) }, (_, index) => index * pieceLength);
  const scattered = offsets.toSorted((a, b) => ((a * 7) % 31) - ((b * 7) % 31));
  await Promise.all(scattered.map((offset) => file.write(content.subarray(offset, offset + pieceLength), offset)));
  assert.equal(file.contiguous, content.length);
  await file.publish();
  await assertPublished(directory);
});

test('takes streams at different offsets side by side', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const half = 1_500_000;
  await Promise.all([
    file.writeStream(streamOf(content.subarray(half)), { offset: half }),
    file.writeStream(streamOf(content.subarray(0, half), 1000), { offset: 0 }),
  ]);
  await file.publish();
  await assertPublished(directory);
});

test('refuses to write over bytes that may be hashed already', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  await file.write(content.subarray(0, 10), 0);
  await assert.rejects(file.write(content.subarray(9, 20), 9), /written already/);
});

test('says that somebody else has cut the file', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  await file.write(content.subarray(1_000_000), 1_000_000);
  await truncate(join(directory, partialName));
  const writing = file.write(content.subarray(0, 1_000_000), 0).then(async () => file.publish());
  await assert.rejects(writing, { code: 'ERR_FILE_CHANGED', side: 'destination' });
});

test('says that bytes are missing where a gap is left', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  await file.write(content.subarray(0, 10), 0);
  await file.write(content.subarray(20), 20);
  assert.equal(file.contiguous, 10);
  await assert.rejects(file.publish(), { kind: 'integrity', found: '10 bytes' });
});

test('can be mended by writing parts again, after the digest was wrong', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const wrong = Buffer.from(content);
  wrong.fill(0, 5000, 6000);
  await file.writeStream(streamOf(wrong));
  await assert.rejects(file.publish(), { kind: 'integrity' });
  await file.invalidate([{ start: 5000, end: 6000 }]);
  assert.equal(file.contiguous, 5000);
  await file.write(content.subarray(5000, 6000), 5000);
  await file.publish();
  await assertPublished(directory);
});

test('hashes what came early as soon as the gap before it is filled', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const read = t.mock.method(await handlePrototype(directory), 'read');
  await file.write(content.subarray(1000), 1000);
  assert.equal(read.mock.callCount(), 0);
  await file.write(content.subarray(0, 1000), 0);
  assert.ok(read.mock.callCount() >= 1);
  const before = read.mock.callCount();
  await file.publish();
  assert.equal(read.mock.callCount(), before, 'nothing was left to be hashed at the end');
});
