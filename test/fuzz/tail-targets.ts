import assert from 'node:assert/strict';
import fc from 'fast-check';
import { zstdCompressSync } from 'node:zlib';
import { digestOf } from '../../src/digest/digest.ts';
import { assertTiling } from '../../src/partial/plan/segments.ts';
import { annotatedTail, positionInFooter } from '../../src/partial/toc/tail-position.ts';
import { readTail } from '../../src/partial/toc/tail.ts';
import { gapDigests } from '../../src/partial/toc/tar-split.ts';
import { type ChunkedLayer, eStargzLayer, type LayerFile, zstdChunkedLayer } from '../support/chunked-layers.ts';
import { MemoryAccessor } from '../support/memory-accessor.ts';
import { nearly, nearlyBytes, nearlyJson } from './nearly.ts';
import { assertRefusal, type FuzzTarget, parsed, target } from './target.ts';
import { tailOf } from '../support/memory-accessor.ts';

const FILES: readonly LayerFile[] = [
  { name: 'a/', type: 'dir' },
  { name: 'a/one', content: 'one' },
  { name: 'a/two', content: Buffer.alloc(250, 'two') },
];
const VERSIONS = ['current', 'version-2', 'storage-1.47', 'storage-1.43', 'stargz-snapshotter'] as const;
const WRITERS = [eStargzLayer, ...VERSIONS.map((version) => withVersion(version))];
const TAR_SPLIT: readonly object[] = [
  { type: 2, payload: Buffer.from('header').toString('base64'), position: 0 },
  { type: 1, name: 'a/one', size: 3, payload: 'AAAAAAAAAAA=', position: 1 },
];
const LAYERS = WRITERS.map((write) => write(FILES));

/** The ends of chunked layers. */
export const TAIL_TARGETS: readonly FuzzTarget[] = [
  target(
    'toc',
    fc.tuple(fc.constantFrom(...WRITERS), nearlyJson(tocs()), fc.boolean()),
    async ([write, toc, isAnnotated]) => {
      const { bytes, info } = write(FILES, { editToc: () => toc });
      await readAnything(bytes, isAnnotated ? info.annotations : undefined);
    },
  ),

  target('tail', fc.tuple(fc.constantFrom(...LAYERS).chain(spoilt), annotations()), async ([bytes, claimed]) => {
    await readAnything(bytes, claimed);
  }),

  target(
    'footer',
    fc.tuple(
      nearlyBytes(
        LAYERS.map(({ bytes }) => bytes.subarray(-72)),
        ['GNUlInUx', 'STARGZ', '\0'],
      ),
      fc.nat(5000),
    ),
    ([end, size]) => {
      const position = parsed(() => positionInFooter(end, size));
      if (position !== undefined) assert.ok(position.tailOffset >= 0 && position.tailOffset < size);
    },
  ),

  target('tail annotations', fc.tuple(annotations(), fc.nat(5000)), ([claimed, size]) => {
    parsed(() => annotatedTail({ digest: digestOf(Buffer.alloc(0)), size, annotations: claimed }));
  }),

  target(
    'tar-split',
    fc.tuple(nearlyJson(TAR_SPLIT), nearly(['\n', '{"type":1,"size":3}\n'])),
    async ([record, more]) => {
      const text = Buffer.from(`${record}\n${more}\n${record}`);
      try {
        const digests = await gapDigests(chunksOf(text));
        assert.ok(digests.length >= 1 && digests.every((digest) => /^[0-9a-f]{64}$/.test(digest)));
      } catch (error) {
        assertRefusal(error);
      }
    },
  ),
];

/** Whatever the bytes are, what is read of them describes a blob of that size, or it is nothing. */
async function readAnything(bytes: Buffer, claimed: Readonly<Record<string, string>> | undefined): Promise<void> {
  if (bytes.length === 0) return;
  const info = { digest: digestOf(bytes), size: bytes.length, annotations: claimed };
  const tail = tailOf(await readTail(new MemoryAccessor(bytes), info));
  if (tail === undefined) return;
  assertTiling(tail.pieces, tail.tailOffset);
  assert.equal(tail.tailOffset + tail.tailBytes.length, info.size);
}

function withVersion(version: (typeof VERSIONS)[number]): typeof eStargzLayer {
  return (files, options) => zstdChunkedLayer(files, { ...options, version });
}

function spoilt({ bytes, tailOffset }: ChunkedLayer): fc.Arbitrary<Buffer> {
  const bomb = zstdCompressSync(Buffer.alloc(200_000)).toString('latin1');
  const tails = nearlyBytes([bytes.subarray(tailOffset)], ['\x50\x2a\x4d\x18', 'GNUlInUx', '\x1f\x8b\x08\x04', bomb]);
  return tails.map((tail) => Buffer.concat([bytes.subarray(0, tailOffset), tail]));
}

function annotations(): fc.Arbitrary<Readonly<Record<string, string>>> {
  const names = LAYERS.flatMap(({ info }) => Object.keys(info.annotations ?? {}));
  const values = LAYERS.flatMap(({ info }) => Object.values(info.annotations ?? {}));
  const value = fc.oneof(fc.constantFrom(...values), nearly(values, [':', '-', '1e3', '99999999999999999999']));
  return fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4, noNullPrototype: true });
}

function tocs(): readonly object[] {
  const written: object[] = [];
  for (const write of WRITERS) write(FILES, { chunkBytes: 100, editToc: (toc) => (written.push(toc), toc) });
  return written;
}

async function* chunksOf(text: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += 1000) yield text.subarray(at, at + 1000);
}
