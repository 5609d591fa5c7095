import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { createCopier } from '../../src/index.ts';
import type { ImageSource } from '../../src/contract/image-source.ts';
import type { Digest } from '../../src/digest/digest.ts';
import { giveBack, SLAB_BYTES } from '../../src/io/slabs.ts';
import { parseImageName } from '../../src/transports/table.ts';
import { readersOf } from '../support/memory-accessor.ts';
import { spoilFreeSlabs } from '../support/free-slabs.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { assertCopied, openScene, type Scene } from './partial-copies.ts';

/** Two layers of some slabs each. They move at the same time and share the slabs. */
const image = buildImage({ layers: [randomBytes('one', 9_000_001), randomBytes('other', 8_000_077)] });
const layers = [...image.blobs.keys()].filter((digest) => (image.blobs.get(digest)?.length ?? 0) > 1024 * 1024);

const plain = { plainHttp: true, noCreds: true };
const LOCAL_FORMS = ['dir', 'oci', 'oci-archive'] as const;

/** Copies the image to the disk. @returns how it is named there. */
async function storeOnDisk(form: (typeof LOCAL_FORMS)[number], { from, home, env }: Scene): Promise<string> {
  from.seed('app', '1', image);
  const stored = `${form}:${join(home, 'stored')}`;
  await using copier = createCopier({ env });
  await copier.copy(`docker://${from.host}/app:1`, stored, { source: plain });
  return stored;
}

for (const form of LOCAL_FORMS) {
  test(`long layers of ${form}: go to a registry, whole, in chunks, and again after a cut, and to all forms on the disk`, async (t) => {
    spoilFreeSlabs(t);
    const scene = await openScene(t);
    const stored = await storeOnDisk(form, scene);
    const copy = async (destination: string): Promise<void> => {
      await using copier = createCopier({ env: scene.env, retryDelayMs: 1 });
      await copier.copy(stored, destination, { destination: plain });
    };
    scene.to.behave({ match: { method: 'PATCH', times: 2 }, resetAfterRequestBytes: 3_000_000 });
    await copy(`docker://${scene.to.host}/app:latest`);
    await assertCopied('registry', scene, image);

    const inChunks = await openScene(t, {
      to: { patch: { maxBytes: 1_000_000 }, monolithic: { maxBytes: 1_000_000 } },
    });
    inChunks.to.behave({ match: { method: 'PATCH', after: 3, times: 4 }, resetAfterRequestBytes: 700_000 });
    await copy(`docker://${inChunks.to.host}/app:latest`);
    await assertCopied('registry', inChunks, image);

    await copy(`dir:${scene.directory}`);
    await assertCopied('dir', scene, image);
    const archive = join(scene.home, 'copy.tar');
    await copy(`oci-archive:${archive}`);
    const tar = await readFile(archive);
    for (const digest of layers) assert.ok(tar.includes(image.blobs.get(digest) as Buffer), digest);
  });

  test(`a long layer of ${form}: comes in slabs to who gives them back, a few in all`, async (t) => {
    const scene = await openScene(t);
    await using source = await openSource(await storeOnDisk(form, scene));
    const [digest] = layers as [Digest];
    const bytes = image.blobs.get(digest) as Buffer;
    const info = { digest, size: bytes.length };
    await assertInSlabs((await source.getBlob(info, { givesBack: true })).stream, bytes);
    const range = { offset: 77, length: bytes.length - 100 };
    const answer = source.getBlobAt?.(info, [range], { givesBack: true });
    assert.ok(answer !== undefined);
    for await (const reader of readersOf(answer))
      await assertInSlabs(reader, bytes.subarray(range.offset, range.offset + range.length));
  });

  test(`a long layer of ${form}: stays as it is where who reads keeps it`, async (t) => {
    spoilFreeSlabs(t);
    const scene = await openScene(t);
    await using source = await openSource(await storeOnDisk(form, scene));
    const [digest] = layers as [Digest];
    const bytes = image.blobs.get(digest) as Buffer;
    const { stream } = await source.getBlob({ digest, size: bytes.length });
    const kept: Buffer[] = [];
    for await (const piece of stream as AsyncIterable<Buffer>) {
      kept.push(piece);
      giveBack(piece);
    }
    assert.ok(Buffer.concat(kept).equals(bytes));
  });
}

async function assertInSlabs(stream: Readable, expected: Buffer): Promise<void> {
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    assert.ok(piece.equals(expected.subarray(at, at + piece.length)), `at ${at}`);
    at += piece.length;
    memory.add(piece.buffer);
    giveBack(piece);
  }
  assert.equal(at, expected.length);
  assert.ok(memory.size <= 4, `${memory.size} buffers`);
  assert.ok([...memory].some((buffer) => buffer.byteLength === SLAB_BYTES));
}

async function openSource(text: string): Promise<ImageSource> {
  const name = parseImageName(text);
  const options = { signal: new AbortController().signal, onWarning: () => undefined };
  return await (name.openSource as (given: object) => Promise<ImageSource>).call(name, options);
}
