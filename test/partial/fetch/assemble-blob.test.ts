import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { MemoryBudget } from '../../../src/io/memory.ts';
import { assembleBlob, type BlobAssembly } from '../../../src/partial/fetch/assemble-blob.ts';
import { planPartial } from '../../../src/partial/plan/partial-plan.ts';
import type { PlanBlobInput } from '../../../src/partial/plan/plan-blob.ts';
import { PartialBlobUnavailableError } from '../../../src/contract/errors.ts';
import { fixtureImage } from '../../support/fixture-images.ts';
import { randomBytes } from '../../support/images.ts';
import { locateTail } from '../../../src/partial/toc/tail.ts';
import { MemoryAccessor, type MemoryAccessorOptions } from '../../support/memory-accessor.ts';
import { infoOf } from '../../support/registry-transport.ts';

const MiB = 1024 * 1024;
const large = randomBytes('large', 17 * MiB);
const v1 = await fixtureImage('zstdchunked', 'v1');
const v2 = await fixtureImage('zstdchunked', 'v2');
const [old, layer] = [v1.layers[1], v2.layers[1]];
const [oldBytes, bytes] = [await v1.blob(old.digest), await v2.blob(layer.digest)];

interface Job {
  readonly source: MemoryAccessor;
  readonly own: MemoryAccessor;
  readonly input: PlanBlobInput & { readonly offset: number };
}

/** Plans and assembles. */
async function open(input: Job['input']): Promise<BlobAssembly> {
  const { offset } = input;
  const plan = await planPartial(input, offset === 0 ? undefined : { length: offset });
  const assembly = assembleBlob({ ...input, plan });
  return {
    ...assembly,
    async [Symbol.asyncDispose](): Promise<void> {
      await assembly[Symbol.asyncDispose]();
      plan[Symbol.dispose]();
    },
  };
}

/** The second version of a layer, of which the first is there. */
function chunkedJob(
  options: { source?: MemoryAccessorOptions; own?: MemoryAccessorOptions; offset?: number } = {},
): Job {
  const source = new MemoryAccessor(bytes, options.source);
  const own = new MemoryAccessor(new Map([[old.digest, oldBytes]]), options.own);
  const candidates = (): ReturnType<PlanBlobInput['candidates']> =>
    Promise.resolve([{ info: old, isPredecessor: true, isKnownChunked: false }]);
  const memory = new MemoryBudget(48 * MiB).openAccount();
  return {
    source,
    own,
    input: { accessor: source, own, info: layer, candidates, memory, offset: options.offset ?? 0 },
  };
}

function plainJob(blob: Buffer, offset: number, options: MemoryAccessorOptions = {}): Job {
  const source = new MemoryAccessor(blob, options);
  const own = new MemoryAccessor(new Map());
  const candidates = (): ReturnType<PlanBlobInput['candidates']> => Promise.resolve([]);
  const memory = new MemoryBudget(48 * MiB).openAccount();
  return { source, own, input: { accessor: source, own, info: infoOf(blob), candidates, memory, offset } };
}

async function collect(input: Job['input']): Promise<{ bytes: Buffer; reused: number }> {
  await using assembly = await open(input);
  const parts: Buffer[] = [];
  for await (const part of assembly.bytes) parts.push(part);
  return { bytes: Buffer.concat(parts), reused: assembly.reused().reduce((sum, { length }) => sum + length, 0) };
}

async function assertNothingLeft({ source, own, input: { memory } }: Job): Promise<void> {
  await new Promise(setImmediate);
  assert.equal(source.open + own.open, 0, 'no stream is left open');
  assert.equal(memory.held, 0, 'all memory was given back');
}

test('a chunked layer is put together out of its predecessor, from any byte on', async () => {
  const expected = await collect(chunkedJob().input);
  assert.equal(digestOf(expected.bytes), layer.digest);
  assert.ok(expected.reused > 900_000);
  for (const offset of [1, 500_000, bytes.length - 1]) {
    const job = chunkedJob({ offset });
    const rest = await collect(job.input);
    assert.ok(rest.bytes.equals(bytes.subarray(offset)));
    assert.ok(rest.reused <= expected.reused);
    await assertNothingLeft(job);
  }
});

test('pieces that came from the source after all do not count as reused', async () => {
  const gone = new ImgcopyError('404', { code: 'ERR_NOT_FOUND', kind: 'not-found' });
  const job = chunkedJob({ own: { answer: (chunks) => (chunks.length > 1 ? gone : 'ranges') } });
  assert.deepEqual(await collect(job.input), { bytes, reused: 0 });
  await assertNothingLeft(job);
});

test('with some of a blob there, even a small rest is fetched by a range', async () => {
  const small = large.subarray(0, 100_000);
  await assert.rejects(collect(plainJob(small, 0).input), PartialBlobUnavailableError);
  const job = plainJob(small, 60_000);
  assert.ok((await collect(job.input)).bytes.equals(small.subarray(60_000)));
  assert.deepEqual(job.source.requests, [[{ offset: 60_000, length: 40_000 }]]);
  const rangeless = plainJob(small, 60_000, { rangeSupport: { ranges: false }, givesWhole: true });
  assert.ok((await collect(rangeless.input)).bytes.equals(small.subarray(60_000)));
  assert.deepEqual([rangeless.source.requests, rangeless.source.wholes], [[], 1]);
});

test('a source that sends the whole blob is used for the rest of it', async () => {
  const job = chunkedJob({ source: { answer: () => 'whole' }, offset: 700_000 });
  assert.ok((await collect(job.input)).bytes.equals(bytes.subarray(700_000)));
  assert.equal(job.source.requests.length, 1);
  await assertNothingLeft(job);
});

test('an assembly that is not read lets go of the whole blob that was on its way', async () => {
  const job = chunkedJob({ source: { answer: () => 'whole' } });
  {
    await using assembly = await open(job.input);
    assert.deepEqual(assembly.reused(), []);
  }
  await assertNothingLeft(job);
});

test('an assembly that is left at any point ends its requests, and gives back its memory', async () => {
  for (const pieces of [0, 1, 5, 40]) {
    for (const job of [chunkedJob(), plainJob(large, 0)]) {
      await using assembly = await open(job.input);
      for (let piece = 0; piece < pieces; piece += 1) await assembly.bytes.next();
      await assembly[Symbol.asyncDispose]();
      await assertNothingLeft(job);
    }
  }
});

test('an assembly that waits for a silent source is ended at once', async () => {
  const silent = Promise.withResolvers<'ranges'>();
  const asked = Promise.withResolvers<void>();
  const job = plainJob(large, 0, {
    answer: () => {
      asked.resolve();
      return silent.promise;
    },
  });
  const assembly = await open(job.input);
  const next = assembly.bytes.next();
  await asked.promise;
  const ended = assembly[Symbol.asyncDispose]();
  assert.equal(job.source.signals[0]?.aborted, true);
  silent.resolve('ranges');
  await assert.rejects(next, { name: 'AbortError' });
  await ended;
  await assertNothingLeft(job);
});

test('the tail that was read takes its memory until its turn is over', async () => {
  const job = chunkedJob();
  const { memory } = job.input;
  {
    await using assembly = await open(job.input);
    assert.ok(assembly.tail !== undefined);
    assert.equal(memory.held, assembly.tail.end.bytes.length);
  }
});

test('an abort while it is planned ends it, and leaves nothing', async () => {
  const controller = new AbortController();
  const job = chunkedJob({ source: { answer: () => (controller.abort(), 'ranges') } });
  await assert.rejects(collect({ ...job.input, signal: controller.signal }), { name: 'AbortError' });
  await assertNothingLeft(job);
});

test('blobs that are planned at once do not wait for each other’s memory, however little there is', async () => {
  const tails = [layer, old].map((info) => info.size - locateTail(info)!.offset);
  for (const budget of [4 * (tails[0]! + tails[1]!), MiB]) {
    const memory = new MemoryBudget(budget);
    const jobs = Array.from({ length: 8 }, () => chunkedJob());
    const copies = jobs.map(({ input }) => collect({ ...input, memory: memory.openAccount() }));
    for (const copy of await Promise.all(copies)) assert.equal(digestOf(copy.bytes), layer.digest);
    assert.equal(memory.used, 0);
  }
});

test('tables of contents that there is no memory for, ever, are not read', async () => {
  const job = chunkedJob();
  await assert.rejects(
    collect({ ...job.input, memory: new MemoryBudget(1).openAccount() }),
    PartialBlobUnavailableError,
  );
  assert.deepEqual([job.own.requests, job.source.requests], [[], []]);
});
