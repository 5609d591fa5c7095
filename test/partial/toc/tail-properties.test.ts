import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../../src/digest/digest.ts';
import { planFromTails } from '../../../src/partial/plan/plan-from-tails.ts';
import { assertTiling } from '../../../src/partial/plan/segments.ts';
import { readTail, type ChunkedTail } from '../../../src/partial/toc/tail.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import {
  eStargzLayer,
  zstdChunkedLayer,
  type ChunkedLayer,
  type ChunkedLayerOptions,
  type LayerFile,
} from '../../support/chunked-layers.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor } from '../../support/memory-accessor.ts';
import { rebuild } from '../../support/rebuild.ts';
import { tailOf } from '../../support/memory-accessor.ts';

type Write = (files: readonly LayerFile[], options?: ChunkedLayerOptions) => ChunkedLayer;

const versions = ['current', 'version-2', 'storage-1.47', 'storage-1.43', 'stargz-snapshotter'] as const;
const writers: readonly Write[] = [
  eStargzLayer,
  ...versions.map(
    (version): Write =>
      (files, options) =>
        zstdChunkedLayer(files, { ...options, version }),
  ),
];
const writer = fc.constantFrom(...writers);

const files: readonly LayerFile[] = [
  { name: 'a/', type: 'dir' },
  { name: 'a/one', content: 'one' },
  { name: 'a/two', content: randomBytes('two', 250) },
  { name: 'a/three', content: 'three' },
];

/** Reads the tail of any bytes; whatever they are, it is a true description of a blob of that size, or nothing. */
async function readAnything(bytes: Buffer, info: BlobInfo): Promise<ChunkedTail | undefined> {
  const tail = tailOf(await readTail(new MemoryAccessor(bytes), info));
  if (tail === undefined) return undefined;
  assertTiling(tail.pieces, tail.tailOffset);
  assert.equal(tail.tailOffset + tail.tailBytes.length, info.size);
  assert.equal(tail.end.offset + tail.end.bytes.length, info.size);
  return tail;
}

function described(bytes: Buffer, annotations?: BlobInfo['annotations']): BlobInfo {
  return { digest: digestOf(bytes), size: bytes.length, annotations };
}

test('bytes changed anywhere in a layer never break the reader', async () => {
  const change = fc.tuple(
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    fc.integer({ min: 0, max: 255 }),
  );
  await fc.assert(
    fc.asyncProperty(writer, fc.array(change, { maxLength: 6 }), fc.boolean(), async (write, changes, annotated) => {
      const { bytes, info, tailOffset } = write(files);
      for (const [at, byte] of changes) {
        bytes[tailOffset + Math.floor(at * (bytes.length - tailOffset))] = byte;
      }
      await readAnything(bytes, described(bytes, annotated ? info.annotations : undefined));
    }),
    { numRuns: 300 },
  );
});

test('a layer cut anywhere, or followed by anything, never breaks the reader', async () => {
  await fc.assert(
    fc.asyncProperty(
      writer,
      fc.nat(400),
      fc.uint8Array({ maxLength: 100 }),
      fc.boolean(),
      async (write, cut, more, annotated) => {
        const layer = write(files);
        const bytes = Buffer.concat([layer.bytes.subarray(0, layer.bytes.length - cut), more]);
        if (bytes.length > 0)
          await readAnything(bytes, described(bytes, annotated ? layer.info.annotations : undefined));
      },
    ),
    { numRuns: 200 },
  );
});

test('no table of contents breaks the reader, however it lies', async () => {
  const number = fc.oneof(fc.integer({ min: -10, max: 1000 }), fc.double(), fc.constantFrom(2 ** 53, 1e300, '7', null));
  const digest = fc.oneof(fc.constantFrom(digestOf(Buffer.from('x'))), fc.string());
  const entry = fc.record(
    {
      type: fc.constantFrom('reg', 'chunk', 'dir', 'hardlink', '\u001b[2J'),
      name: fc.oneof(fc.string(), fc.constantFrom('__proto__', '../../x', '\u001b]0;x\u0007')),
      size: number,
      offset: number,
      endOffset: number,
      chunkSize: number,
      chunkOffset: number,
      digest,
      chunkDigest: digest,
      xattrs: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const toc = fc.oneof(
    fc.record({ version: fc.constantFrom(1, 2), entries: fc.array(entry, { maxLength: 8 }) }),
    fc.jsonValue(),
    fc.string(),
  );
  await fc.assert(
    fc.asyncProperty(writer, toc, async (write, lie) => {
      const { bytes, info } = write(files, { editToc: () => lie ?? null });
      await readAnything(bytes, info);
    }),
    { numRuns: 400 },
  );
});

test('offsets moved in a true table of contents give a tiling or nothing', async () => {
  const shift = fc.record({
    entry: fc.nat(5),
    field: fc.constantFrom('offset', 'endOffset'),
    by: fc.integer({ min: -300, max: 300 }),
  });
  await fc.assert(
    fc.asyncProperty(writer, fc.array(shift, { minLength: 1, maxLength: 4 }), async (write, shifts) => {
      const { bytes, info } = write(files, {
        chunkBytes: 100,
        editToc: (toc) => {
          const entries = toc.entries.map((entry): Record<string, unknown> => ({ ...entry }));
          for (const { entry, field, by } of shifts) {
            const changed = entries[entry];
            if (typeof changed?.[field] === 'number') changed[field] += by;
          }
          return { ...toc, entries };
        },
      });
      await readAnything(bytes, info);
    }),
    { numRuns: 300 },
  );
});

test('a plan rebuilds a layer from any earlier one of the same writer', async () => {
  const file = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    content: fc.oneof(
      fc.constantFrom('', 'same', 'other'),
      fc.nat(3).map((seed) => randomBytes(seed, 700)),
      fc.nat(3).map((seed) => Buffer.concat([randomBytes(seed, 200), randomBytes('end', 512)])),
    ),
    mtime: fc.constantFrom(0, 1_700_000_000),
    userName: fc.constantFrom(undefined, 'root'),
  });
  const tree = fc.array(file, { minLength: 1, maxLength: 8 });
  let plans = 0;
  await fc.assert(
    fc.asyncProperty(writer, tree, tree, async (write, before, after) => {
      const [old, current] = [write(before, { chunkBytes: 200 }), write([...before, ...after], { chunkBytes: 200 })];
      const [oldTail, tail] = [
        await readAnything(old.bytes, old.info),
        await readAnything(current.bytes, current.info),
      ];
      assert.ok(oldTail !== undefined && tail !== undefined);
      const plan = planFromTails({
        blobSize: current.info.size,
        tail,
        old: [{ digest: old.info.digest, tail: oldTail }],
      });
      if (plan === undefined) return;
      plans += 1;
      const rebuilt = rebuild(plan, current.bytes, new Map([[old.info.digest, old.bytes]]));
      assert.equal(digestOf(rebuilt), current.info.digest);
    }),
    { numRuns: 200 },
  );
  assert.ok(plans > 20);
});
