import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type FileHandle, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { BlobFileOptions } from '../../src/local/blob-file.ts';
import { digestOf } from '../../src/digest/digest.ts';
import {
  assertPublished,
  content,
  handlePrototype,
  open,
  partialName,
  stateName,
  streamOf,
  temporaryDirectory,
} from './one-blob.ts';

const KIB = 1024;

/** A stream that gives some bytes and then fails. */
function breakingStream(bytes: Buffer): Readable {
  return Readable.from(
    (async function* () {
      yield* streamOf(bytes);
      throw new Error('the line broke');
    })(),
    { objectMode: false },
  );
}

type WriteV = (this: FileHandle, pieces: Uint8Array[], position: number) => Promise<unknown>;

test('resumes where a kept file ends (behaviour 75)', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using first = await open(directory);
    await assert.rejects(first.writeStream(breakingStream(content.subarray(0, 2_000_000))), /the line broke/);
    await first.keep();
  }
  assert.deepEqual(await readdir(directory), [partialName]);
  await using second = await open(directory, { resume: true });
  assert.equal(second.resumed, 2_000_000);
  await Promise.all([second.hashPrefix(), second.writeStream(streamOf(content.subarray(2_000_000)))]);
  await second.publish();
  await assertPublished(directory);
});

test('keeps only the part before the first gap', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using file = await open(directory);
    await file.write(content.subarray(0, 1000), 0);
    await file.write(content.subarray(2000, 3000), 2000);
    assert.deepEqual((await readdir(directory)).toSorted(), [partialName, stateName]);
    await file.keep();
  }
  assert.deepEqual(await readdir(directory), [partialName]);
  assert.equal((await stat(join(directory, partialName))).size, 1000);
});

test('takes no gap for content after the process was killed', async (t) => {
  const directory = await temporaryDirectory(t);
  const left = await open(directory);
  await left.write(content.subarray(0, 1000), 0);
  await left.write(content.subarray(500_000), 500_000);
  const [partial, state] = await Promise.all([partialName, stateName].map((name) => readFile(join(directory, name))));
  await left[Symbol.asyncDispose]();
  await writeFile(join(directory, partialName), partial!);
  await writeFile(join(directory, stateName), state!);

  await using file = await open(directory, { resume: true });
  assert.equal(file.resumed, 1000);
  assert.deepEqual(await readdir(directory), [partialName]);
  await file.writeStream(streamOf(content.subarray(1000)));
  await file.publish();
  await assertPublished(directory);
});

test('moves the note on as the part without a gap grows', async (t) => {
  const directory = await temporaryDirectory(t);
  const large = randomBytes(20 * 1024 * KIB);
  await using file = await open(directory, { digest: digestOf(large), size: large.length });
  await file.write(large.subarray(-10), large.length - 10);
  await file.writeStream(streamOf(large.subarray(0, 18 * 1024 * KIB), 1024 * KIB), { offset: 0 });
  const state = (await readdir(directory)).find((name) => name.endsWith('.state'));
  const noted = Number(await readFile(join(directory, state!), 'latin1'));
  assert.ok(noted >= 8 * 1024 * KIB && noted <= 18 * 1024 * KIB, `${noted} bytes noted`);
});

test('begins again at zero when what was kept is wrong', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, partialName), Buffer.alloc(5000, 'x'));
  await using file = await open(directory, { resume: true });
  await file.writeStream(streamOf(content.subarray(5000)));
  await assert.rejects(file.publish(), { kind: 'integrity' });
  await file.restart();
  assert.equal(file.contiguous, 0);
  await file.writeStream(streamOf(content));
  await file.publish();
  await assertPublished(directory);
});

const unusable: [string, Partial<BlobFileOptions>, number, string | undefined][] = [
  ['is longer than the blob', { resume: true }, content.length + 1, undefined],
  ['has an unreadable note', { resume: true }, 5000, 'rubbish'],
  ['is not asked for', {}, 5000, undefined],
];
for (const [what, options, length, state] of unusable) {
  test(`begins at zero when what was kept ${what}`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, partialName), Buffer.alloc(length));
    if (state !== undefined) await writeFile(join(directory, stateName), state);
    await using file = await open(directory, options);
    assert.equal(file.resumed, 0);
    assert.equal((await stat(join(directory, partialName))).size, 0);
  });
}

test('keeping waits for pieces that are still being written, so that none lands behind a gap', async (t) => {
  const directory = await temporaryDirectory(t);
  const prototype = await handlePrototype(directory);
  const { writev } = prototype as { readonly writev: WriteV };
  const gate = Promise.withResolvers<void>();
  t.mock.method(prototype, 'writev', async function (this: FileHandle, pieces: Uint8Array[], position: number) {
    if (position > 0) await gate.promise;
    return await writev.call(this, pieces, position);
  });
  await using file = await open(directory);
  await file.write(content.subarray(0, 1000), 0);
  const late = file.write(content.subarray(2000, 3000), 2000);
  const kept = file.keep();
  gate.resolve();
  await Promise.all([late, kept]);
  assert.deepEqual(await readdir(directory), [partialName]);
  assert.equal((await stat(join(directory, partialName))).size, 1000);
});
