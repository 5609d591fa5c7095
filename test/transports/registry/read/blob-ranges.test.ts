import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { noCache } from '../../../../src/cache/no-cache.ts';
import { registryBlobRanges } from '../../../../src/transports/registry/read/blob-ranges.ts';
import type {
  BlobChunkAccessor,
  ImageSourceChunk,
  RangeSupport,
} from '../../../../src/contract/blob-chunk-accessor.ts';
import type { WaitOptions } from '../../../../src/contract/blob-info.ts';
import type { BlobInfoCache, HostAbility } from '../../../../src/contract/blob-info-cache.ts';
import { BadPartialRequestError } from '../../../../src/contract/errors.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../../../support/registry.ts';
import { clientOf, hastyPolicy, infoOf, openAccess } from '../../../support/registry-transport.ts';
import { readersOf } from '../../../support/memory-accessor.ts';

const blob = randomBytes('blob', 3_000_000);
const info = infoOf(blob);
const some: readonly ImageSourceChunk[] = [
  { offset: 0, length: 5 },
  { offset: 1_000_000, length: 700_000 },
  { offset: 2_999_990 },
];
const one: readonly ImageSourceChunk[] = [{ offset: 7, length: 2_000_000 }];
const blobs = { path: /blobs\/sha256:/ };

interface Setting extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly ranges: BlobChunkAccessor;
}

async function start(options: RegistryOptions = {}, cache?: BlobInfoCache): Promise<Setting> {
  const registry = await startRegistry(options);
  registry.seedBlob('app', blob);
  const access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const ranges = registryBlobRanges(client, { policy: hastyPolicy, registry: registry.host, cache: () => cache });
  return {
    registry,
    ranges,
    async [Symbol.asyncDispose](): Promise<void> {
      await access[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

async function read(
  ranges: BlobChunkAccessor,
  chunks: readonly ImageSourceChunk[],
  options?: WaitOptions,
): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for await (const reader of readersOf(ranges.getBlobAt(info, chunks, options))) parts.push(await buffer(reader));
  return parts;
}

function expected(chunks: readonly ImageSourceChunk[]): Buffer[] {
  return chunks.map(({ offset, length = blob.length - offset }) => blob.subarray(offset, offset + length));
}

test('one request asks for all ranges, without any encoding (behaviours 1, 60)', async () => {
  await using setting = await start();
  const { registry, ranges } = setting;
  assert.deepEqual(await read(ranges, some), expected(some));
  const [request] = registry.requests;
  assert.equal(registry.requests.length, 1);
  assert.equal(request?.range, 'bytes=0-4,1000000-1699999,2999990-');
  assert.equal(request.headers['accept-encoding'], 'identity');
});

test('whatever parts come, each reader gives its own bytes (behaviour 7)', async () => {
  const near = [some[0]!, { offset: 5, length: 100 }, { offset: 300, length: 9 }];
  for (const multiRange of ['coalesce', 'reorder', 'quoted-boundary', 'unquoted-colon-boundary', 'preamble'] as const) {
    await using setting = await start({ multiRange });
    assert.deepEqual(await read(setting.ranges, near), expected(near), multiRange);
  }
});

test('refusals are distinguished from other failures (behaviour 9)', async () => {
  for (const multiRange of [400, 416, 501, 'first-only'] as const) {
    await using setting = await start({ multiRange });
    await assert.rejects(read(setting.ranges, some), BadPartialRequestError, `${multiRange}`);
    assert.equal(setting.registry.count(blobs), 1);
  }
  await using gone = await start();
  gone.registry.remove('app', info.digest);
  await assert.rejects(read(gone.ranges, some), { kind: 'not-found', code: 'ERR_NOT_FOUND' });
});

test('answers that lie are errors (behaviours 6, 7, 8)', async () => {
  for (const multiRange of ['no-boundary', 'missing-part', 'extra-part', 'wrong-part-range', 'short-part'] as const) {
    await using setting = await start({ multiRange });
    await assert.rejects(read(setting.ranges, some), Error, multiRange);
  }
  await using shifted = await start();
  shifted.registry.behave({ contentRange: (header) => header.replace('bytes 7', 'bytes 8') });
  await assert.rejects(read(shifted.ranges, one), { code: 'ERR_WRONG_RANGE' });
});

test('an answer that is cut is taken up at its offset (behaviours 12, 59)', async () => {
  await using setting = await start();
  const { registry, ranges } = setting;
  for (const how of ['reset', 'close', 'end', 'end-at-close'] as const) {
    registry.reset();
    const forget = registry.behave({ match: { ...blobs, times: 2 }, cutAfterBytes: 300_000, how });
    assert.deepEqual(await read(ranges, one), expected(one), how);
    const starts = registry.requests.map(({ range = '' }) => Number(/^bytes=(\d+)-2000006$/.exec(range)?.[1]));
    assert.equal(starts.length, 3);
    assert.ok(starts[0] === 7 && starts[1]! > 7 && starts[2]! > starts[1]!, `${how}: ${starts.join(', ')}`);
    forget();
  }
});

test('a whole blob in place of ranges is handed over, and resumes when it is cut', async () => {
  await using setting = await start({ ranges: false });
  const { registry, ranges } = setting;
  registry.behave({ match: { ...blobs, times: 1 }, cutAfterBytes: 1_000_000 });
  const answer = await ranges.getBlobAt(info, one);
  assert.ok(answer.kind === 'whole');
  registry.settings.ranges = true;
  assert.ok((await buffer(answer.stream)).equals(blob));
  assert.deepEqual(
    registry.requests.map(({ range }) => range?.replace(/\d{3,}-$/, 'n-')),
    ['bytes=7-2000006', 'bytes=n-'],
  );
});

test('a whole blob that comes for the rest of a cut answer is no new beginning', async () => {
  await using setting = await start();
  const { registry, ranges } = setting;
  registry.behave({ match: { ...blobs, times: 1 }, cutAfterBytes: 300_000 });
  registry.behave({ match: { ...blobs, after: 1 }, call: () => void (registry.settings.ranges = false) });
  assert.deepEqual(await read(ranges, one), expected(one));
  assert.equal(registry.requests.length, 2);
});

test('leaving the loop ends the request, an abort its waiting (behaviour 11)', async () => {
  await using setting = await start();
  const { registry, ranges } = setting;
  registry.behave({ match: { ...blobs, times: 1 }, stallAfterBytes: 200_000 });
  for await (const reader of readersOf(ranges.getBlobAt(info, one))) {
    reader.once('data', () => undefined);
    break;
  }
  await registry.idle();
  assert.equal(registry.requests[0]?.outcome, 'aborted');
  registry.behave({ stall: true });
  const controller = new AbortController();
  const waiting = read(ranges, one, { signal: controller.signal });
  await registry.until(() => registry.requests.length === 2);
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  await registry.idle();
});

test('ranges of a blob are asked for where a redirect led, as long as that is answered', async () => {
  await using setting = await start({ redirectBlobs: true });
  const { registry, ranges } = setting;
  const asked = (): readonly string[] => registry.requests.map(({ server, status }) => `${server} ${status}`);
  for (let times = 0; times < 4; times += 1) assert.deepEqual(await read(ranges, one), expected(one));
  assert.deepEqual(asked(), ['registry 307', ...Array.from({ length: 4 }, () => 'storage 206')]);
  assert.ok(
    registry.requests.every(({ server, headers }) => server === 'registry' || headers.authorization === undefined),
  );
  registry.behave({ match: { path: /storage/, times: 1 }, status: 403 });
  assert.deepEqual(await read(ranges, one), expected(one));
  assert.deepEqual(asked().slice(5), ['storage 403', 'registry 307', 'storage 206'], 'an URL that has expired');
});

test('how soon the registry answers is told for its blobs, and not where another host has them', async () => {
  for (const redirectBlobs of [false, true]) {
    await using setting = await start({ redirectBlobs });
    const { rangeSupport } = setting.ranges;
    assert.equal(rangeSupport.roundTripMs, undefined, 'nothing was asked yet');
    await read(setting.ranges, one);
    assert.equal(rangeSupport.roundTripMs === undefined, redirectBlobs);
  }
});

test('a redirect that works once is not tried a second time again and again', async () => {
  await using setting = await start({ redirectBlobs: 'single-use' });
  for (let times = 0; times < 4; times += 1) assert.deepEqual(await read(setting.ranges, one), expected(one));
  const { requests } = setting.registry;
  assert.equal(requests.filter(({ server }) => server === 'registry').length, 4);
  assert.equal(requests.filter(({ status }) => status === 403).length, 1);
});

for (const status of [400, 403, 405, 416, 500, 501, 503]) {
  test(`${status} refuses the ranges that were asked for`, async () => {
    await using setting = await start();
    setting.registry.behave({ match: blobs, status });
    await assert.rejects(
      read(setting.ranges, some),
      (error) => error instanceof BadPartialRequestError && error.status === status,
    );
    assert.ok(setting.registry.requests.length <= 2, 'many ranges are not asked for again and again');
  });
}

for (const status of [401, 404]) {
  test(`${status} is no answer to ranges`, async () => {
    await using setting = await start();
    setting.registry.behave({ match: blobs, status });
    await assert.rejects(read(setting.ranges, some), { name: 'RegistryError', status });
  });
}

test('that a host ignores ranges holds for minutes, and not for the next run', async () => {
  const known = new Map<string, number>();
  const cache: BlobInfoCache = {
    ...noCache(),
    hostAbility: (_host, ability: HostAbility) => known.get(ability),
    recordHostAbility: (_host, ability, value) => void known.set(ability, value),
  };
  await using setting = await start({}, cache);
  const client = await clientOf(openAccess(), setting.registry, 'other');
  const later = (): RangeSupport => {
    const options = { policy: hastyPolicy, registry: setting.registry.host, cache: () => cache };
    return registryBlobRanges(client, options).rangeSupport;
  };
  const { rangeSupport } = setting.ranges;
  rangeSupport.report({ ranges: true });
  assert.equal(later().ranges, true);
  rangeSupport.report({ ranges: false });
  assert.equal(rangeSupport.ranges, false);
  assert.equal(later().ranges, undefined, 'neither yes nor no');
  // As older versions wrote it.
  known.set('ranges', 0);
  assert.equal(later().ranges, undefined);
});

test('what a host can do is remembered in the cache, and for the run', async () => {
  const known = new Map<string, number>();
  const cache: BlobInfoCache = {
    ...noCache(),
    hostAbility: (host: string, ability: HostAbility) => known.get(`${host} ${ability}`),
    recordHostAbility: (host, ability, value) => void known.set(`${host} ${ability}`, value),
  };
  await using setting = await start({}, cache);
  const { ranges, registry } = setting;
  assert.deepEqual([ranges.rangeSupport.ranges, ranges.rangeSupport.multiRange], [undefined, undefined]);
  ranges.rangeSupport.report({ ranges: true });
  ranges.rangeSupport.report({ multiRange: false });
  const [host] = [...known.keys()].map((key) => key.split(' ')[0]);
  assert.deepEqual(
    [...known],
    [
      [`${host} ranges`, 1],
      [`${host} multi-range`, 0],
    ],
  );
  const client = await clientOf(openAccess(), registry, 'other');
  const later = registryBlobRanges(client, { policy: hastyPolicy, registry: registry.host, cache: () => cache });
  assert.deepEqual([later.rangeSupport.ranges, later.rangeSupport.multiRange], [true, false]);
});
