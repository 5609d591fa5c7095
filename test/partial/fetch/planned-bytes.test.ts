import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import { plannedBytes } from '../../../src/partial/fetch/planned-bytes.ts';
import { planOf, type Plan, type Segment } from '../../../src/partial/plan/segments.ts';
import type { BlobRange } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor, type MemoryAccessorOptions } from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const olds = [randomBytes('one', 3_000_000), randomBytes('other', 5_000_000)];
const oldBlobs = olds.map(infoOf);
const known = new Map(olds.map((bytes) => [digestOf(bytes), bytes]));

/** What a blob is made of. */
type Piece =
  | { readonly kind: 'reuse'; readonly old: number; readonly at: number; readonly length: number }
  | { readonly kind: 'fetch' | 'have'; readonly length: number };

interface Made {
  readonly plan: Plan;
  readonly blob: Buffer;
}

function make(pieces: readonly Piece[]): Made {
  const segments: Segment[] = [];
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [index, piece] of pieces.entries()) {
    const { length } = piece;
    if (piece.kind === 'reuse') {
      const bytes = olds[piece.old]!;
      const blobOffset = Math.floor(piece.at * (bytes.length - length));
      segments.push({ kind: 'reuse', offset, length, blob: digestOf(bytes), blobOffset });
      parts.push(bytes.subarray(blobOffset, blobOffset + length));
    } else {
      const bytes = randomBytes(`new ${index}`, length);
      segments.push(
        piece.kind === 'have' ? { kind: 'have', offset, length, bytes } : { kind: 'fetch', offset, length },
      );
      parts.push(bytes);
    }
    offset += length;
  }
  return { plan: planOf(segments), blob: Buffer.concat(parts) };
}

interface Run {
  readonly bytes: Buffer;
  readonly fallbacks: readonly BlobRange[];
  readonly source: MemoryAccessor;
  readonly own: MemoryAccessor;
}

async function run(
  { plan, blob }: Made,
  options: {
    readonly source?: MemoryAccessorOptions;
    readonly own?: MemoryAccessorOptions;
    readonly budget?: number;
  } = {},
): Promise<Run> {
  const memory = new MemoryBudget(options.budget ?? 48_000_000).openAccount();
  const source = new MemoryAccessor(blob, options.source);
  const own = new MemoryAccessor(known, options.own);
  const fallbacks: BlobRange[] = [];
  const sources = { accessor: source, info: infoOf(blob), own, oldBlobs, memory };
  const parts: Buffer[] = [];
  try {
    for await (const part of plannedBytes(plan, sources, (range) => fallbacks.push(range))) parts.push(part);
  } finally {
    assert.equal(memory.held, 0, 'all memory was given back');
    await new Promise(setImmediate);
    assert.equal(source.open + own.open, 0, 'no stream is left open');
  }
  return { bytes: Buffer.concat(parts), fallbacks, source, own };
}

const lengths = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2_500_000 }));
const blobs = fc
  .array(
    fc.oneof(
      fc.record({
        kind: fc.constant('reuse' as const),
        old: fc.nat(1),
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        length: lengths,
      }),
      fc.record({ kind: fc.constantFrom('fetch' as const, 'have' as const), length: lengths }),
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map(make);

const budgets = fc.constantFrom(1, 3_000_000, 48_000_000);

test('a blob of any pieces is put together, an old blob being deleted at any time', async () => {
  const gone = new ImgcopyError('it is gone', { code: 'ERR_NOT_FOUND', kind: 'not-found' });
  await fc.assert(
    fc.asyncProperty(blobs, budgets, fc.option(fc.nat(6)), fc.nat(200_000), async (made, budget, goneAt, cutAfter) => {
      let asked = 0;
      const answer = (): 'ranges' | ImgcopyError | { cutAfter: number; error: ImgcopyError } => {
        asked += 1;
        if (goneAt === null || asked <= goneAt) return 'ranges';
        return asked === goneAt + 1 ? { cutAfter, error: gone } : gone;
      };
      const { bytes, fallbacks } = await run(made, { own: { answer }, budget });
      assert.ok(bytes.equals(made.blob));
      const reuses = made.plan.segments.filter(({ kind }) => kind === 'reuse');
      for (const { offset, length } of fallbacks) {
        assert.ok(reuses.some((one) => one.offset <= offset && offset + length <= one.offset + one.length));
      }
    }),
    { numRuns: 60 },
  );
});

const reuse = (old: number, at: number): Piece => ({ kind: 'reuse', old, at, length: 100_000 });
const fetch: Piece = { kind: 'fetch', length: 1000 };

test('pieces of one old blob in rising order are one request, and one more where they go back', async () => {
  const { own, source } = await run(make([reuse(0, 0), fetch, reuse(0, 0.5), fetch, reuse(0, 0.1), reuse(1, 0)]));
  assert.deepEqual(
    own.requests.map(({ length }) => length),
    [2, 1, 1],
  );
  assert.equal(source.requests.length, 1);
});

for (const [name, answer] of [
  ['is deleted', new ImgcopyError('404', { code: 'ERR_NOT_FOUND', kind: 'not-found' })],
  ['is damaged', new ImgcopyError('wrong size', { code: 'ERR_WRONG_RANGE', kind: 'integrity' })],
  ['may not be read', new ImgcopyError('403', { code: 'ERR_DENIED', kind: 'denied' })],
  ['is at a host that answers no ranges', new BadPartialRequestError(416, '')],
] as const) {
  test(`what an old blob that ${name} does not give comes from the source`, async () => {
    const made = make([reuse(0, 0), fetch, reuse(0, 0.5), reuse(1, 0.2)]);
    const first = made.plan.segments[0]!;
    const { bytes, fallbacks } = await run(made, {
      own: { answer: (chunks) => (chunks.length === 2 ? answer : 'ranges') },
    });
    assert.ok(bytes.equals(made.blob));
    if (!(answer instanceof BadPartialRequestError)) {
      assert.equal(fallbacks.length, 2);
      assert.deepEqual(fallbacks[0], first);
    }
  });
}

test('an old blob that is cut in the middle of a piece gives what it gave', async () => {
  const made = make([reuse(1, 0.3)]);
  const error = new ImgcopyError('it became shorter', { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
  // At hand, it is passed on as it comes.
  const { bytes, source } = await run(made, {
    own: { answer: () => ({ cutAfter: 60_000, error }), rangeSupport: { isLocal: true } },
  });
  assert.ok(bytes.equals(made.blob));
  assert.deepEqual(source.requests, [[{ offset: 60_000, length: 40_000 }]]);
});

test('an error of the source ends it, be it in place of an old blob', async () => {
  const failure = new ImgcopyError('the source is gone', { code: 'ERR_NOT_FOUND', kind: 'not-found' });
  const made = make([reuse(0, 0), fetch]);
  await assert.rejects(run(made, { source: { answer: () => failure } }), (error) => error === failure);
  const gone = make([reuse(0, 0)]);
  const both = { source: { answer: () => failure }, own: { answer: () => new ImgcopyError('', { code: 'ERR_X' }) } };
  await assert.rejects(run(gone, both), (error) => error === failure);
});

test('a mistake of our own is not a reason to go to the source', async () => {
  const mistake = new TypeError('undefined is not a function');
  await assert.rejects(run(make([reuse(0, 0)]), { own: { answer: () => mistake } }), (error) => error === mistake);
});
