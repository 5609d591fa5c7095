import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { planFromTails, scoreCandidate } from '../../../src/partial/plan/plan-from-tails.ts';
import { assertTiling, coalesceFetches, complement, type Plan } from '../../../src/partial/plan/segments.ts';
import { readTail, type ChunkedTail } from '../../../src/partial/toc/tail.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { fixtureImage, type FixtureFormat, type FixtureVersion } from '../../support/fixture-images.ts';
import { MemoryAccessor } from '../../support/memory-accessor.ts';
import { rebuild } from '../../support/rebuild.ts';
import { tailOf } from '../../support/memory-accessor.ts';

interface ReadBlob {
  readonly info: BlobInfo;
  readonly bytes: Buffer;
  readonly tail: ChunkedTail;
}

async function readBlob(bytes: Buffer, info: BlobInfo, tailGuess?: number): Promise<ReadBlob> {
  const tail = tailOf(await readTail(new MemoryAccessor(bytes), info, { tailGuess }));
  assert.ok(tail !== undefined);
  assertTiling(tail.pieces, tail.tailOffset);
  return { info, bytes, tail };
}

async function readAppLayer(format: FixtureFormat, version: FixtureVersion, annotated = true): Promise<ReadBlob> {
  const { layers, blob } = await fixtureImage(format, version);
  const [, app] = layers;
  return readBlob(await blob(app.digest), annotated ? app : { ...app, annotations: undefined });
}

function planOver(blob: ReadBlob, old: readonly ReadBlob[]): Plan | undefined {
  return planFromTails({
    blobSize: blob.info.size,
    tail: blob.tail,
    old: old.map(({ info, tail }) => ({ digest: info.digest, tail })),
  });
}

function fetchCount(plan: Plan): number {
  return plan.segments.filter(({ kind }) => kind === 'fetch').length;
}

// By an oracle that compares the bytes of every piece: what is fetched, in how many ranges by gap, besides the tail.
const samples = [
  { format: 'zstdchunked', bytes: 595609, ranges: { 0: 52, 1024: 42, 4096: 30 } },
  { format: 'zstdchunked-old', bytes: 581928, ranges: { 0: 52, 1024: 42, 4096: 30 } },
  { format: 'estargz', bytes: 915562, ranges: { 0: 30, 1024: 29, 4096: 19 } },
] as const;

for (const { format, bytes, ranges } of samples) {
  test(`a real ${format} layer is planned from its last version with as few bytes as possible`, async () => {
    // Not annotated, so that nothing but the tail is read of eStargz.
    const [v1, v2] = [await readAppLayer(format, 'v1', false), await readAppLayer(format, 'v2', false)];
    const plan = planOver(v2, [v1]);
    assert.equal(plan?.bytesFetched, bytes);
    assert.equal(plan.bytesReused, v2.info.size - bytes);
    for (const [gap, count] of Object.entries(ranges)) {
      assert.equal(fetchCount(coalesceFetches(plan, Number(gap))), count);
    }
  });

  test(`a real ${format} layer is rebuilt byte for byte, coalesced or not`, async () => {
    const [v1, v2] = [await readAppLayer(format, 'v1'), await readAppLayer(format, 'v2')];
    const plan = planOver(v2, [v1]);
    assert.ok(plan !== undefined);
    const old = new Map([[v1.info.digest, v1.bytes]]);
    for (const each of [plan, ...[0, 256, 65536].map((gap) => coalesceFetches(plan, gap))]) {
      assertTiling(each.segments, v2.info.size);
      assert.equal(digestOf(rebuild(each, v2.bytes, old)), v2.info.digest);
    }
  });

  test(`the complement of a plan for ${format} mends a blob whose old pieces are wrong`, async () => {
    const [v1, v2] = [await readAppLayer(format, 'v1'), await readAppLayer(format, 'v2')];
    const plan = planOver(v2, [v1]);
    assert.ok(plan !== undefined);
    const wrong = rebuild(plan, v2.bytes, new Map([[v1.info.digest, Buffer.alloc(v1.info.size)]]));
    assert.notEqual(digestOf(wrong), v2.info.digest);
    for (const { offset, length } of complement(plan)) v2.bytes.copy(wrong, offset, offset, offset + length);
    assert.equal(digestOf(wrong), v2.info.digest);
  });
}

test('what was read before the tail is used too', async () => {
  const { layers, blob } = await fixtureImage('estargz', 'v2');
  const v1 = await readAppLayer('estargz', 'v1');
  const v2 = await readBlob(await blob(layers[1].digest), layers[1], 100_000);
  assert.equal(v2.tail.end.bytes.length, 112_500);
  const plan = planOver(v2, [v1]);
  assert.ok(plan !== undefined);
  assert.deepEqual(plan.segments.at(-1), {
    kind: 'have',
    offset: v2.info.size - 112_500,
    length: 112_500,
    bytes: v2.tail.end.bytes,
  });
  assert.equal(digestOf(rebuild(plan, v2.bytes, new Map([[v1.info.digest, v1.bytes]]))), v2.info.digest);
});

test('nothing is reused of a blob that another encoder wrote', async () => {
  const old = await readAppLayer('zstdchunked-old', 'v1');
  const current = await readAppLayer('zstdchunked', 'v2');
  assert.equal(scoreCandidate(current.tail, { digest: old.info.digest, tail: old.tail }), 0);
  assert.equal(planOver(current, [old]), undefined);
  assert.equal(planOver(current, [await readAppLayer('estargz', 'v1')]), undefined);
});

test('the better one of two old blobs is used first, the other for what is missing', async () => {
  const [v1, v2] = [await readAppLayer('zstdchunked', 'v1'), await readAppLayer('zstdchunked', 'v2')];
  const base = await fixtureImage('zstdchunked', 'v1');
  const other = await readBlob(await base.blob(base.layers[0].digest), base.layers[0]);
  assert.equal(planOver(v2, [other, v1])?.bytesFetched, 595609);
  assert.equal(planOver(v1, [v2, v1])?.segments.length, 2);
});

test('a blob that the destination has in another copy costs its tail only', async () => {
  const { info, bytes, tail } = await readAppLayer('zstdchunked', 'v1');
  const plan = planOver({ info, bytes, tail }, [{ info, bytes, tail }]);
  assert.deepEqual(
    plan?.segments.map(({ kind, length }) => ({ kind, length })),
    [
      { kind: 'reuse', length: tail.tailOffset },
      { kind: 'have', length: tail.tailBytes.length },
    ],
  );
});

test('a plan that saves less than a fifth is not made', () => {
  assert.equal(planReusing(19), undefined);
  assert.equal(planReusing(20)?.bytesReused, 20);
});

/** For a blob of 100 bytes, the first of which an old blob has. */
function planReusing(length: number): Plan | undefined {
  const known = { offset: 0, length, identity: 'old' };
  const pieces = [known, { offset: length, length: 90 - length, identity: 'new' }];
  const end = { offset: 90, bytes: Buffer.alloc(10) };
  return planFromTails({
    blobSize: 100,
    tail: { format: 'estargz', tailOffset: 90, tailBytes: end.bytes, end, pieces },
    old: [{ digest: digestOf(end.bytes), tail: { pieces: [known] } }],
  });
}

test('up to one known piece in twenty may have another length', () => {
  const old = { digest: digestOf(Buffer.from('old')), tail: piecesOfTen({ foreign: 0 }) };
  assert.equal(scoreCandidate(piecesOfTen({ foreign: 2 }), old), 380);
  assert.equal(scoreCandidate(piecesOfTen({ foreign: 3 }), old), 0);
});

/** Forty pieces of ten bytes, the first of them longer by one. */
function piecesOfTen({ foreign }: { foreign: number }): Pick<ChunkedTail, 'pieces'> {
  const pieces = Array.from({ length: 40 }, (_, index) => {
    return { offset: index * 100, length: index < foreign ? 11 : 10, identity: `${index}` };
  });
  return { pieces };
}
