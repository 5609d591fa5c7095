import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { locateTail, readTail, type ChunkedTail } from '../../../src/partial/toc/tail.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import {
  eStargzLayer,
  zstdChunkedLayer,
  type ChunkedLayerOptions,
  type LayerFile,
  type TocEntryJson,
} from '../../support/chunked-layers.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor } from '../../support/memory-accessor.ts';
import { tailOf } from '../../support/memory-accessor.ts';

const files: readonly LayerFile[] = [
  { name: 'app/', type: 'dir' },
  { name: 'app/one', content: 'one' },
  { name: 'app/big', content: randomBytes('big', 2500) },
  { name: 'app/last', content: 'last' },
];
const chunkBytes = 1000;

interface Reading {
  readonly tail: ChunkedTail | undefined;
  readonly requests: number;
}

async function read(bytes: Buffer, info: BlobInfo): Promise<Reading> {
  const accessor = new MemoryAccessor(bytes);
  const tail = tailOf(await readTail(accessor, info));
  return { tail, requests: accessor.requests.length };
}

const position = 'io.github.containers.zstd-chunked.manifest-position';
const checksum = 'io.github.containers.zstd-chunked.manifest-checksum';
const tocDigest = 'containerd.io/snapshot/stargz/toc.digest';
const sha256 = digestOf(Buffer.from('something else'));

for (const { name, annotations, asked } of [
  { name: 'points behind the blob', annotations: { [position]: '99999999:100:200:1' }, asked: false },
  { name: 'points before the blob', annotations: { [position]: '7:100:200:1' }, asked: false },
  { name: 'ends behind the blob', annotations: { [position]: '1000:999999:200:1' }, asked: false },
  { name: 'is no number', annotations: { [position]: '-1:0x10:1e3:1' }, asked: false },
  { name: 'is larger than numbers go', annotations: { [position]: '9999999999999999:1:1:1' }, asked: false },
  { name: 'lacks a number', annotations: { [position]: '1000:100:200' }, asked: false },
  { name: 'has another type', annotations: { [position]: '1000:100:200:2' }, asked: false },
  { name: 'has a checksum that is none', annotations: { [checksum]: 'sha256:beef' }, asked: false },
  { name: 'points at something else', annotations: { [position]: '1000:100:200:1' }, asked: true },
  { name: 'has the checksum of something else', annotations: { [checksum]: sha256 }, asked: true },
  { name: 'has the text digest of something else', annotations: { [tocDigest]: sha256 }, asked: true },
]) {
  test(`a layer whose annotation ${name} is not used`, async () => {
    const { bytes, info } = zstdChunkedLayer(files);
    const lying = { ...info, annotations: { ...info.annotations, ...annotations } };
    const { tail, requests } = await read(bytes, lying);
    assert.equal(tail, undefined);
    assert.equal(requests > 0, asked);
    assert.equal(locateTail(lying) !== undefined, asked);
  });
}

test('a layer whose annotated sizes are not those of its table of contents is not used', async () => {
  const { bytes, info } = zstdChunkedLayer(files);
  const [offset, size, textSize] = (info.annotations?.[position] ?? '').split(':').map(Number);
  for (const lie of [`${offset}:${size! - 1}:${textSize}:1`, `${offset}:${size}:${textSize! + 1}:1`]) {
    const lying = { ...info, annotations: { ...info.annotations, [position]: lie } };
    assert.equal((await read(bytes, lying)).tail, undefined);
  }
});

test('an eStargz layer whose annotated digest is that of something else is not used', async () => {
  const { bytes, info } = eStargzLayer(files);
  assert.equal((await read(bytes, { ...info, annotations: { [tocDigest]: sha256 } })).tail, undefined);
});

test('a tail that would be too large is not fetched', async () => {
  const size = 100 * 1024 * 1024;
  const annotations = { [position]: '8:1000:2000:1' };
  const unread = { tail: undefined, requests: 0 };
  assert.deepEqual(await read(Buffer.alloc(0), { digest: sha256, size, annotations }), unread);
  const footer = eStargzLayer(files).bytes.subarray(-51);
  footer.write('0000000000001000', 16);
  const bytes = Buffer.concat([Buffer.alloc(9 * 1024 * 1024), footer]);
  assert.deepEqual(await read(bytes, { digest: sha256, size: bytes.length }), { tail: undefined, requests: 1 });
});

test('a tail with one wrong bit in its tar-split is not used', async () => {
  const { bytes, info } = zstdChunkedLayer(files);
  const at = bytes.length - 90;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  assert.equal((await read(bytes, info)).tail, undefined);
});

test('a small table of contents that inflates without end is not used', async () => {
  const bomb = `{"version":1,"entries":[${' '.repeat(51 * 1024 * 1024)}`;
  for (const write of [zstdChunkedLayer, eStargzLayer]) {
    const { bytes, info } = write(files, { editToc: () => bomb });
    assert.ok(bytes.length < 128 * 1024);
    assert.equal((await read(bytes, info)).tail, undefined);
  }
});

/** Changes the entry of this name. */
function editing(name: string, edit: (entry: TocEntryJson) => TocEntryJson): ChunkedLayerOptions {
  return {
    chunkBytes,
    editToc: (toc) => ({ ...toc, entries: toc.entries.map((entry) => (entry['name'] === name ? edit(entry) : entry)) }),
  };
}

const lies: Readonly<Record<string, (entry: TocEntryJson) => TocEntryJson>> = {
  'an offset behind the blob': (entry) => ({ ...entry, offset: 1e9 }),
  'an offset that goes back': (entry) => ({ ...entry, offset: 1 }),
  'a negative offset': (entry) => ({ ...entry, offset: -5 }),
  'an offset that is too large to be exact': (entry) => ({ ...entry, offset: 2 ** 53 }),
  'an offset that is no number': (entry) => ({ ...entry, offset: '300' }),
  'no offset': (entry) => ({ ...entry, offset: undefined }),
  'a fractional size': (entry) => ({ ...entry, size: 1.5 }),
  'a digest that is none': (entry) => ({ ...entry, digest: '../../etc/passwd', chunkDigest: undefined }),
  'no digest': (entry) => ({ ...entry, digest: undefined, chunkDigest: undefined }),
  'a name that is no text': (entry) => ({ ...entry, name: { deep: [] } }),
  'attributes that are no texts': (entry) => ({ ...entry, xattrs: { 'user.a': [[[]]] } }),
};

for (const [name, lie] of Object.entries(lies)) {
  test(`a table of contents with ${name} is not used`, async () => {
    for (const layer of [zstdChunkedLayer, eStargzLayer].map((write) => write(files, editing('app/last', lie)))) {
      assert.equal((await read(layer.bytes, layer.info)).tail, undefined);
    }
  });
}

test('a content of zstd:chunked that ends nowhere, or inside another, is not used', async () => {
  for (const endOffset of [undefined, 1, 1e9]) {
    const layer = zstdChunkedLayer(
      files,
      editing('app/one', (entry) => ({ ...entry, endOffset })),
    );
    assert.equal((await read(layer.bytes, layer.info)).tail, undefined);
  }
});

test('files of the same name are files of their own', async () => {
  const twice = [...files, { name: 'app/one', content: 'again' }];
  for (const layer of [zstdChunkedLayer(twice), eStargzLayer(twice)]) {
    const { tail } = await read(layer.bytes, layer.info);
    assert.ok(tail !== undefined);
    assert.equal(new Set(tail.pieces.map(({ identity }) => identity)).size, tail.pieces.length);
  }
});
