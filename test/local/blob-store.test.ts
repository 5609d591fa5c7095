import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { type Digest, digestHex, digestOf } from '../../src/digest/digest.ts';
import { MemoryBudget } from '../../src/io/memory.ts';
import { LocalBlobStore } from '../../src/local/blob-store.ts';
import { MemoryAccessor } from '../support/memory-accessor.ts';
import { randomBytes } from '../support/images.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { readersOf } from '../support/memory-accessor.ts';

const bytes = randomBytes('blob', 3 * 1024 * 1024);
const info = { digest: digestOf(bytes), size: bytes.length };

/** The place that an OCI layout gives a blob. */
function fileOf(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

async function openStore(t: TestContext): Promise<{ readonly store: LocalBlobStore; readonly directory: string }> {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  return { store: new LocalBlobStore({ directory, fileOf, reference: 'oci:lay', side: 'source' }), directory };
}

test('a blob is written to the place that the layout gives it, and read from there', async (t) => {
  const { store, directory } = await openStore(t);
  assert.equal(await store.has(info), false);
  assert.deepEqual(await store.write(Readable.from([bytes]), info), info);
  assert.deepEqual(await readdir(directory), ['blobs']);
  assert.ok((await readFile(join(directory, fileOf(info.digest)))).equals(bytes));
  assert.equal(await store.has(info), true);
  assert.equal(await store.size(info.digest), bytes.length);
  assert.ok((await buffer(await store.read(info))).equals(bytes));
  const parts: Buffer[] = [];
  const chunks = [{ offset: 1, length: 4 }, { offset: bytes.length - 2 }];
  for await (const reader of readersOf(store.ranges.getBlobAt(info, chunks))) parts.push(await buffer(reader));
  assert.deepEqual(parts, [bytes.subarray(1, 5), bytes.subarray(-2)]);
});

test('a blob that is missing is named with the image and its file', async (t) => {
  const { store, directory } = await openStore(t);
  await assert.rejects(store.read(info), {
    code: 'ERR_BLOB_NOT_FOUND',
    message: `the image in oci:lay is missing blob ${info.digest}: there is no file ${join(directory, fileOf(info.digest))}`,
  });
});

test('a file with other content of the same size is there, and not sound', async (t) => {
  const { store, directory } = await openStore(t);
  await writeFile(join(directory, fileOf(info.digest)), Buffer.alloc(bytes.length));
  assert.equal(await store.has(info), true);
  assert.equal(await store.isSound(info), false);
  await store.write(Readable.from([bytes]), info);
  assert.equal(await store.isSound(info), true);
});

test('what a cut stream brought is used when the blob is put together', async (t) => {
  const { store } = await openStore(t);
  const cut = Readable.from(
    (async function* () {
      yield bytes.subarray(0, 2 * 1024 * 1024);
      throw new Error('the connection broke');
    })(),
    { objectMode: false },
  );
  await assert.rejects(store.write(cut, info), /the connection broke/);
  assert.equal(await store.has(info), false);
  const accessor = new MemoryAccessor(new Map([[info.digest, bytes]]));
  const memory = new MemoryBudget(24 * 1024 * 1024).openAccount();
  const candidates = (): Promise<readonly []> => Promise.resolve([]);
  const written = await store.assemble({ accessor, info, candidates, memory });
  assert.equal(written.bytesResumed, 2 * 1024 * 1024);
  assert.ok((await buffer(await store.read(info))).equals(bytes));
});

test('two writers of one blob take turns', async (t) => {
  const { store, directory } = await openStore(t);
  await Promise.all([store.write(Readable.from([bytes]), info), store.write(Readable.from([bytes]), info)]);
  assert.equal(await store.isSound(info), true);
  assert.deepEqual(await readdir(directory), ['blobs']);
});
