import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import {
  fetchAll,
  isAnnotatedChunked,
  planBlob,
  type BlobPlan,
  type Candidate,
} from '../../../src/partial/plan/plan-blob.ts';
import { assertTiling } from '../../../src/partial/plan/segments.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { BadPartialRequestError, PartialBlobUnavailableError } from '../../../src/contract/errors.ts';
import { fixtureImage, type FixtureFormat, type FixtureVersion } from '../../support/fixture-images.ts';
import { randomBytes } from '../../support/images.ts';
import { MemoryAccessor, type MemoryAccessorOptions } from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const MiB = 1024 * 1024;

interface Layer {
  readonly info: BlobInfo;
  readonly bytes: Buffer;
}

async function appLayer(format: FixtureFormat, version: FixtureVersion): Promise<Layer> {
  const { layers, blob } = await fixtureImage(format, version);
  return { info: layers[1], bytes: await blob(layers[1].digest) };
}

function predecessor({ info }: Layer, known: Partial<Candidate> = {}): Candidate {
  return { info, isPredecessor: true, isKnownChunked: false, ...known };
}

function bare({ info, bytes }: Layer): Layer {
  return { info: { ...info, annotations: undefined }, bytes };
}

interface Planned {
  readonly result: BlobPlan | Error;
  readonly source: MemoryAccessor;
  readonly own: MemoryAccessor;
}

interface Job {
  readonly layer: Layer;
  readonly olds?: readonly Layer[];
  readonly candidates?: readonly Candidate[];
  readonly source?: MemoryAccessorOptions;
  readonly own?: MemoryAccessorOptions;
}

async function plan({
  layer,
  olds = [],
  candidates = olds.map((old) => predecessor(old)),
  ...options
}: Job): Promise<Planned> {
  const source = new MemoryAccessor(layer.bytes, options.source);
  const own = new MemoryAccessor(new Map(olds.map(({ info, bytes }) => [info.digest, bytes])), options.own);
  const memory = new MemoryBudget(48 * MiB).openAccount();
  const input = { accessor: source, own, info: layer.info, memory, candidates: () => Promise.resolve(candidates) };
  const result = await planBlob(input).catch((error: Error) => error);
  if (!(result instanceof Error) && result.kind === 'plan') result.held?.[Symbol.dispose]();
  assert.equal(memory.held, 0, 'all memory was given back');
  if (!(result instanceof Error) && result.kind === 'plan') assertTiling(result.plan.segments, layer.info.size);
  return { result, source, own };
}

function assertPlainWay(
  { result, source, own }: Planned,
  requests: { readonly source: number; readonly own: number },
): void {
  assert.ok(result instanceof PartialBlobUnavailableError);
  assert.deepEqual({ source: source.requests.length, own: own.requests.length }, requests);
  assert.equal(source.open + own.open, 0);
}

for (const format of ['zstdchunked', 'zstdchunked-old', 'estargz'] as const) {
  test(`a ${format} layer is planned out of its predecessor by two requests, one to each side`, async () => {
    const [v1, v2] = [await appLayer(format, 'v1'), await appLayer(format, 'v2')];
    const { result, source, own } = await plan({ layer: v2, olds: [v1] });
    assert.ok(!(result instanceof Error) && result.kind === 'plan');
    assert.ok(result.plan.bytesReused > 0.3 * v2.info.size);
    assert.deepEqual([source.requests.length, own.requests.length], [1, 1]);
    assert.equal(source.rangeSupport.ranges, true);
    assert.deepEqual(result.oldBlobs, [v1.info]);
    assert.equal(result.tail?.format, format === 'estargz' ? 'estargz' : 'zstd:chunked');
  });
}

test('layers that say nothing of chunks cost no request', async () => {
  const [v1, v2] = [await appLayer('gzip', 'v1'), await appLayer('gzip', 'v2')];
  assertPlainWay(await plan({ layer: v2, olds: [v1] }), { source: 0, own: 0 });
  assertPlainWay(await plan({ layer: v2 }), { source: 0, own: 0 });
});

test('an annotated layer that has no predecessor costs no request', async () => {
  assertPlainWay(await plan({ layer: await appLayer('zstdchunked', 'v2') }), { source: 0, own: 0 });
});

test('a layer without annotations is looked at where its predecessor is known to be chunked', async () => {
  const [v1, v2] = [bare(await appLayer('zstdchunked', 'v1')), bare(await appLayer('zstdchunked', 'v2'))];
  assertPlainWay(await plan({ layer: v2, olds: [v1] }), { source: 0, own: 0 });
  const { result } = await plan({ layer: v2, olds: [v1], candidates: [predecessor(v1, { isKnownChunked: true })] });
  assert.ok(!(result instanceof Error) && result.kind === 'plan' && result.plan.bytesReused > 0);
});

test('a layer of another encoder, or one that is all new, is fetched but for the tail that was read', async () => {
  const layer = await appLayer('zstdchunked', 'v2');
  for (const old of [await appLayer('zstdchunked-old', 'v1'), await appLayer('estargz', 'v1')]) {
    const { result, source } = await plan({ layer, olds: [old] });
    assert.ok(!(result instanceof Error) && result.kind === 'plan');
    assert.equal(result.plan.bytesReused, 0);
    assert.deepEqual(
      result.plan.segments.map(({ kind }) => kind),
      ['fetch', 'have'],
    );
    assert.equal(source.requests.length, 1);
  }
});

const unreadable: readonly (readonly [string, MemoryAccessorOptions])[] = [
  ['is gone', { answer: () => new ImgcopyError('404', { code: 'ERR_NOT_FOUND', kind: 'not-found' }) }],
  ['may not be read', { answer: () => new ImgcopyError('403', { code: 'ERR_DENIED', kind: 'denied' }) }],
  ['is at a host that refuses ranges', { answer: () => new BadPartialRequestError(416, '') }],
  ['is at a host that ignores ranges', { answer: () => 'whole' }],
];

for (const [name, options] of unreadable) {
  test(`of an old blob that ${name} nothing is reused`, async () => {
    const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
    const planned = await plan({ layer: v2, olds: [v1], own: options });
    await new Promise(setImmediate);
    assertPlainWay(planned, { source: 0, own: 1 });
    if (name === 'is at a host that ignores ranges') assert.equal(planned.own.rangeSupport.ranges, false);
  });
}

test('a destination that is known to answer no ranges is not asked', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  assertPlainWay(await plan({ layer: v2, olds: [v1], own: { rangeSupport: { ranges: false } } }), {
    source: 0,
    own: 0,
  });
});

test('a source that ignores ranges has begun to send the blob: that is what is used', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const { result, source } = await plan({ layer: v2, olds: [v1], source: { answer: () => 'whole' } });
  assert.ok(!(result instanceof Error) && result.kind === 'whole');
  assert.ok(Buffer.concat(await result.stream.toArray()).equals(v2.bytes));
  assert.deepEqual([source.requests.length, source.rangeSupport.ranges], [1, false]);
});

test('a source that refuses ranges is asked once', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const refuses = { answer: () => new BadPartialRequestError(501, '') };
  const planned = await plan({ layer: v2, olds: [v1], source: refuses });
  assertPlainWay(planned, { source: 1, own: 1 });
  assert.equal(planned.source.rangeSupport.ranges, false);
  assertPlainWay(await plan({ layer: v2, olds: [v1], source: { rangeSupport: { ranges: false } } }), {
    source: 0,
    own: 0,
  });
});

test('annotations that point elsewhere lead to the plain way', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const position = 'io.github.containers.zstd-chunked.manifest-position';
  for (const lie of [
    '0:100:1000:1',
    '99999999:100:1000:1',
    '-5:10:10:1',
    'x',
    `100:${v2.info.size}:9007199254740993:1`,
  ]) {
    const info = { ...v2.info, annotations: { ...v2.info.annotations, [position]: lie } };
    const { result, source } = await plan({ layer: { ...v2, info }, olds: [v1] });
    assert.ok(result instanceof PartialBlobUnavailableError, lie);
    assert.ok(source.requests.length <= 1, lie);
  }
});

test('from 16 MiB on every blob is fetched by ranges, whatever it is', async () => {
  const bytes = randomBytes('large', 16 * MiB);
  const layer = { bytes, info: infoOf(bytes) };
  const { result, source } = await plan({ layer });
  assert.ok(!(result instanceof Error) && result.kind === 'plan');
  assert.deepEqual(result.plan, fetchAll(layer.info));
  assert.equal(source.requests.length, 0);
  const small = { bytes, info: { ...layer.info, size: 16 * MiB - 1 } };
  assertPlainWay(await plan({ layer: small }), { source: 0, own: 0 });
});

test('the predecessor of a large blob is asked for its footer, and gives none', async () => {
  const [bytes, before] = [randomBytes('large', 16 * MiB), randomBytes('before', 2 * MiB)];
  const [layer, old] = [
    { bytes, info: infoOf(bytes) },
    { bytes: before, info: infoOf(before) },
  ];
  const { result, source, own } = await plan({ layer, olds: [old] });
  assert.ok(!(result instanceof Error) && result.kind === 'plan' && result.plan.bytesReused === 0);
  assert.deepEqual([source.requests.length, own.requests], [0, [[{ offset: 2 * MiB - 72, length: 72 }]]]);
});

test('a source that is at hand is read whole: it gives pieces sooner than any destination', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const local = { rangeSupport: { isLocal: true, ranges: true, multiRange: true } };
  assertPlainWay(await plan({ layer: v2, olds: [v1], source: local }), { source: 0, own: 0 });
});

test('four old blobs are looked at, no more', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const { own } = await plan({ layer: v2, olds: [v1], candidates: Array.from({ length: 9 }, () => predecessor(v1)) });
  assert.equal(own.requests.length, 4);
});

test('a plan whose gaps eat up its saving is not made where each range is a request', async () => {
  const [v1, v2] = [await appLayer('zstdchunked', 'v1'), await appLayer('zstdchunked', 'v2')];
  const many = await plan({ layer: v2, olds: [v1] });
  const single = await plan({ layer: v2, olds: [v1], source: { rangeSupport: { ranges: true, multiRange: false } } });
  assert.ok(!(many.result instanceof Error) && many.result.kind === 'plan');
  assert.ok(!(single.result instanceof Error) && single.result.kind === 'plan');
  const fetches = ({ plan: { segments } }: Extract<BlobPlan, { kind: 'plan' }>): number =>
    segments.filter(({ kind }) => kind === 'fetch').length;
  assert.ok(fetches(single.result) < fetches(many.result) / 2);
  assert.ok(single.result.plan.bytesReused >= 0.2 * v2.info.size);
});

test('a layer below 1 MiB is not chunked, whatever it says', async () => {
  const { info } = await appLayer('zstdchunked', 'v2');
  assert.equal(isAnnotatedChunked(info), true);
  assert.equal(isAnnotatedChunked({ ...info, size: MiB - 1 }), false);
  assert.equal(isAnnotatedChunked({ ...info, annotations: undefined }), false);
});
