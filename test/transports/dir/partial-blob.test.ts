import assert from 'node:assert/strict';
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { noCache } from '../../../src/cache/no-cache.ts';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { RangeBodyError } from '../../../src/http/ranges/range-errors.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { PartialBlobUnavailableError } from '../../../src/contract/errors.ts';
import type { ChunkedBlob } from '../../../src/contract/blob-info-cache.ts';
import type { PartialBlob } from '../../../src/contract/image-destination.ts';
import { fixtureImage } from '../../support/fixture-images.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor, type MemoryAccessorOptions, type MemoryAnswer } from '../../support/memory-accessor.ts';
import { beginDirDestination, temporaryDirectory } from './image-directory.ts';

const MiB = 1024 * 1024;
/** Slow enough that a source is not read as one stream. */
const latencyMs = 50;
const bytes = randomBytes('large', 20 * MiB);
const info: BlobInfo = { digest: digestOf(bytes), size: bytes.length };

const v1 = await fixtureImage('zstdchunked', 'v1');
const v2 = await fixtureImage('zstdchunked', 'v2');
const [old, layer] = [v1.layers[1], v2.layers[1]];
const layerBytes = await v2.blob(layer.digest);

function partialPath(directory: string, { digest }: BlobInfo): string {
  return join(directory, `.imgcopy-sha256-${digestHex(digest)}.partial`);
}

/** A directory that holds the first version of the image. */
async function directoryWithV1(t: TestContext): Promise<string> {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'manifest.json'), v1.manifestBytes);
  for (const { digest } of [v1.config, ...v1.layers])
    await writeFile(join(directory, digestHex(digest)), await v1.blob(digest));
  return directory;
}

interface Put {
  readonly put: PartialBlob | Error;
  readonly source: MemoryAccessor;
  /** Bytes that were asked of the source. */
  readonly asked: number;
  readonly chunked: readonly ChunkedBlob[];
}

async function putPartial(
  directory: string,
  blob: { readonly info: BlobInfo; readonly bytes: Buffer; readonly layerIndex?: number },
  options: MemoryAccessorOptions & { readonly signal?: AbortSignal } = {},
): Promise<Put> {
  const source = new MemoryAccessor(blob.bytes, options);
  const memory = new MemoryBudget(48 * MiB).openAccount();
  const chunked: ChunkedBlob[] = [];
  const cache = { ...noCache(), recordChunkedBlob: (one: ChunkedBlob): void => void chunked.push(one) };
  await using destination = await beginDirDestination(directory);
  const { layerIndex } = blob;
  const put = await destination
    .putBlobPartial(source, blob.info, { memory, layerIndex, cache, signal: options.signal })
    .catch((error: Error) => error);
  assert.equal(memory.held, 0, 'all memory was given back');
  await new Promise(setImmediate);
  assert.equal(source.open, 0, 'no stream is left open');
  const asked = source.requests.flat().reduce((sum, { length = 0 }) => sum + length, 0);
  return { put, source, asked, chunked };
}

async function assertPublished(directory: string, blob: BlobInfo): Promise<void> {
  assert.equal(digestOf(await readFile(join(directory, digestHex(blob.digest)))), blob.digest);
  const temporary = (await readdir(directory)).filter((name) => name.startsWith('.imgcopy'));
  assert.deepEqual(temporary, [], 'nothing temporary is left');
}

test('a large blob is written from ranges', async (t) => {
  const directory = await temporaryDirectory(t);
  const { put, asked } = await putPartial(directory, { info, bytes });
  assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: 0, bytesResumed: 0 });
  assert.equal(asked, info.size);
  await assertPublished(directory, info);
});

test('what an earlier run left is re-hashed, and the rest is fetched (behaviour 75)', async (t) => {
  for (const left of [1, 5 * MiB + 7, info.size - 1]) {
    const directory = await temporaryDirectory(t);
    await writeFile(partialPath(directory, info), bytes.subarray(0, left));
    const { put, asked } = await putPartial(directory, { info, bytes });
    assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: left, bytesResumed: left });
    assert.equal(asked, info.size - left);
    await assertPublished(directory, info);
  }
});

test('a blob that an earlier run left whole needs no request', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(partialPath(directory, info), bytes);
  const { put, source } = await putPartial(directory, { info, bytes });
  assert.ok(!(put instanceof Error));
  assert.equal(source.requests.length, 0);
  await assertPublished(directory, info);
});

test('what another blob, a bad disk or a bad run left in its place is fetched anew, and nothing else', async (t) => {
  const wrong = randomBytes('another blob', 6 * MiB);
  const directory = await temporaryDirectory(t);
  await writeFile(partialPath(directory, info), wrong);
  const { put, asked } = await putPartial(directory, { info, bytes });
  assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: 0, bytesResumed: 0 });
  assert.equal(asked, info.size, 'the rest is not fetched twice');
  await assertPublished(directory, info);
});

test('a partial file that is longer than the blob is not used', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(partialPath(directory, info), Buffer.concat([bytes, Buffer.alloc(1)]));
  const { put, asked } = await putPartial(directory, { info, bytes });
  assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: 0, bytesResumed: 0 });
  assert.equal(asked, info.size);
  await assertPublished(directory, info);
});

test('a note that is garbage, or promises more than there is, does no harm', async (t) => {
  for (const note of ['garbage', '999999999999', '-7', '']) {
    const directory = await temporaryDirectory(t);
    await writeFile(partialPath(directory, info), bytes.subarray(0, 3 * MiB));
    await writeFile(partialPath(directory, info).replace('.partial', '.state'), note);
    const { put } = await putPartial(directory, { info, bytes });
    assert.ok(!(put instanceof Error));
    await assertPublished(directory, info);
  }
});

test('a source that fails leaves what came, and the next run resumes it', async (t) => {
  const directory = await temporaryDirectory(t);
  const failure = new RangeBodyError('ERR_SHORT_RANGE', 'the line is dead');
  const rangeSupport = { ranges: true };
  const answer = ([chunk]: readonly { offset: number }[]): MemoryAnswer =>
    (chunk?.offset ?? 0) < 8 * MiB ? 'ranges' : { cutAfter: 1000, error: failure };
  const cut = await putPartial(directory, { info, bytes }, { rangeSupport, answer, latencyMs });
  assert.equal(cut.put, failure);
  assert.deepEqual(await readFile(partialPath(directory, info)), bytes.subarray(0, 8 * MiB));
  const { asked, put } = await putPartial(directory, { info, bytes });
  assert.ok(!(put instanceof Error) && put.bytesReused === 8 * MiB);
  assert.equal(asked, info.size - 8 * MiB);
  await assertPublished(directory, info);
});

test('an abort keeps what is there, and stops all requests', async (t) => {
  const directory = await temporaryDirectory(t);
  const controller = new AbortController();
  const answer = ([chunk]: readonly { offset: number }[]): MemoryAnswer => {
    if ((chunk?.offset ?? 0) >= 16 * MiB) controller.abort();
    return 'ranges';
  };
  const { put } = await putPartial(directory, { info, bytes }, { answer, latencyMs, signal: controller.signal });
  assert.equal((put as Error).name, 'AbortError');
  const left = await readFile(partialPath(directory, info)).catch(() => Buffer.alloc(0));
  assert.ok(left.length >= MiB && left.equals(bytes.subarray(0, left.length)));
});

test('a source with wrong bytes is left to the plain way, and nothing is kept (behaviour 14)', async (t) => {
  const directory = await temporaryDirectory(t);
  const wrong = Buffer.from(bytes);
  wrong[12 * MiB] = (wrong[12 * MiB] ?? 0) ^ 1;
  const { put } = await putPartial(directory, { info, bytes: wrong });
  assert.ok(put instanceof PartialBlobUnavailableError);
  assert.deepEqual(await readdir(directory), ['version']);
});

test('pieces of the directory’s own blobs are reused', async (t) => {
  const directory = await directoryWithV1(t);
  const { put, asked, source, chunked } = await putPartial(directory, {
    info: layer,
    bytes: layerBytes,
    layerIndex: 1,
  });
  assert.ok(!(put instanceof Error) && put.bytesReused > 0.6 * layer.size);
  assert.equal(source.requests.length, 2);
  assert.ok(asked < 0.4 * layer.size);
  assert.equal(chunked[0]?.digest, layer.digest);
  await assertPublished(directory, layer);
});

test('pieces whose bytes have changed on the disk are fetched after all, and nothing else', async (t) => {
  const directory = await directoryWithV1(t);
  await using file = await open(join(directory, digestHex(old.digest)), 'r+');
  await file.write(Buffer.alloc(300_000), 0, 300_000, 200_000);
  const { put, asked } = await putPartial(directory, { info: layer, bytes: layerBytes, layerIndex: 1 });
  assert.deepEqual(put, { digest: layer.digest, size: layer.size, bytesReused: 0, bytesResumed: 0 });
  assert.ok(asked <= layer.size + 60_000, `${asked} bytes were asked for`);
  await assertPublished(directory, layer);
});

test('an old blob that is removed meanwhile is replaced by the source', async (t) => {
  const directory = await directoryWithV1(t);
  const answer = async (): Promise<MemoryAnswer> => {
    await rm(join(directory, digestHex(old.digest)), { force: true });
    return 'ranges';
  };
  const { put } = await putPartial(directory, { info: layer, bytes: layerBytes, layerIndex: 1 }, { answer });
  assert.deepEqual(put, { digest: layer.digest, size: layer.size, bytesReused: 0, bytesResumed: 0 });
  await assertPublished(directory, layer);
});

test('an old image that is damaged is not a reason to fail', async (t) => {
  for (const [name, content] of [
    ['manifest.json', 'garbage'],
    [digestHex(old.digest), 'shorter than it was'],
  ] as const) {
    const directory = await directoryWithV1(t);
    await writeFile(join(directory, name), content);
    const { put } = await putPartial(directory, { info: layer, bytes: layerBytes, layerIndex: 1 });
    assert.ok(put instanceof PartialBlobUnavailableError);
  }
});

test('a rest is cut out of the whole blob where the source ignores ranges', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(partialPath(directory, info), Buffer.concat([bytes.subarray(0, 3 * MiB), Buffer.alloc(MiB)]));
  const { put, source } = await putPartial(directory, { info, bytes }, { answer: () => 'whole' });
  assert.deepEqual(put, { digest: info.digest, size: info.size, bytesReused: 0, bytesResumed: 0 });
  assert.equal(source.requests.length, 2, 'once for the rest, once more for what was wrong');
  await assertPublished(directory, info);
});
