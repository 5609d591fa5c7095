import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { newer, shared } from './destination-images.ts';
import {
  assertHoldsOnly,
  beginDirDestination,
  blobInfo,
  isWhole,
  putImage,
  temporaryDirectory,
  writeImage,
} from './image-directory.ts';

const MIB = 1024 * 1024;

/** A stream that gives some bytes and then fails. */
function breakingStream(bytes: Buffer, failure: Error): Readable {
  return Readable.from(
    (async function* () {
      yield bytes;
      throw failure;
    })(),
    { objectMode: false },
  );
}

test('reuses a blob by its size, and with force only by its content (behaviour 75)', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeImage(directory, newer);
  await writeFile(join(directory, digestHex(digestOf(shared))), Buffer.alloc(shared.length));
  {
    await using trusting = await beginDirDestination(directory);
    assert.equal((await trusting.tryReusingBlobWithOptions(blobInfo(shared), {})).reused, true);
    const other = { ...blobInfo(shared), size: 17 };
    assert.deepEqual(await trusting.tryReusingBlobWithOptions(other, {}), { reused: false });
    assert.deepEqual(await trusting.tryReusingBlobWithOptions(blobInfo(randomBytes('absent', 9)), {}), {
      reused: false,
    });
  }
  {
    await using strict = await beginDirDestination(directory, { force: true });
    assert.deepEqual(await putImage(strict, newer), [digestOf(shared)]);
  }
  await assertHoldsOnly(directory, newer);
});

test('leaves neither blob nor temporary file of a stream with wrong bytes (behaviour 14)', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using destination = await beginDirDestination(directory);
    const wrong = Buffer.alloc(3 * MIB);
    const info = { digest: digestOf(shared), size: wrong.length };
    await assert.rejects(destination.putBlobWithOptions(Readable.from([wrong]), info, {}), {
      code: 'ERR_CONTENT_MISMATCH',
      expected: digestOf(shared),
      found: digestOf(wrong),
    });
  }
  assert.deepEqual(await readdir(directory), ['version']);
});

test('writes one digest for one caller at a time, and for the next when that one fails', async (t) => {
  const directory = await temporaryDirectory(t);
  const failure = new Error('cut');
  {
    await using destination = await beginDirDestination(directory);
    const info = blobInfo(shared);
    const streams = [breakingStream(shared.subarray(0, 10), failure), Readable.from([shared]), Readable.from([shared])];
    const put = streams.map((stream) => destination.putBlobWithOptions(stream, info, {}));
    const ended = await Promise.allSettled(put);
    assert.deepEqual(
      ended.map((one) => (one.status === 'fulfilled' ? one.value.digest : (one.reason as unknown))),
      [failure, info.digest, info.digest],
    );
  }
  const name = digestHex(digestOf(shared));
  assert.deepEqual((await readdir(directory)).toSorted(), ['version', name].toSorted());
  assert.deepEqual(await readFile(join(directory, name)), shared);
});

test('keeps the beginning of a large blob whose stream breaks, and nothing of a small one', async (t) => {
  const directory = await temporaryDirectory(t);
  const large = randomBytes('large', 3 * MIB);
  const failure = new Error('the line broke');
  {
    await using destination = await beginDirDestination(directory);
    const begun = breakingStream(large.subarray(0, 2 * MIB), failure);
    await assert.rejects(destination.putBlobWithOptions(begun, blobInfo(large), {}), failure);
    const small = breakingStream(large.subarray(0, 1000), failure);
    await assert.rejects(destination.putBlobWithOptions(small, blobInfo(randomBytes('small', 5000)), {}), failure);
  }
  const partial = `.imgcopy-sha256-${digestHex(digestOf(large))}.partial`;
  assert.deepEqual((await readdir(directory)).toSorted(), [partial, 'version']);
  assert.deepEqual(await readFile(join(directory, partial)), large.subarray(0, 2 * MIB));
  await using destination = await beginDirDestination(directory);
  await putImage(destination, buildImage({ layers: [large] }));
  assert.equal(await isWhole(directory, buildImage({ layers: [large] })), true);
});

test('an abort ends a blob and destroys its stream', async (t) => {
  const directory = await temporaryDirectory(t);
  await using destination = await beginDirDestination(directory);
  const controller = new AbortController();
  const endless = new Readable({ read() {} });
  endless.push(shared.subarray(0, 10));
  const putting = destination.putBlobWithOptions(endless, blobInfo(shared), { signal: controller.signal });
  controller.abort();
  await assert.rejects(putting, { name: 'AbortError' });
  assert.equal(endless.destroyed, true);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.endsWith('.partial')),
    [],
  );
});

test('computes the digest of a blob that comes without one', async (t) => {
  const directory = await temporaryDirectory(t);
  await using destination = await beginDirDestination(directory);
  assert.deepEqual(await destination.putBlobWithOptions(Readable.from([shared]), {}, {}), blobInfo(shared));
  assert.ok((await readdir(directory)).includes(digestHex(digestOf(shared))));
});
