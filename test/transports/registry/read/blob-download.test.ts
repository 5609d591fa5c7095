import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { NetworkError } from '../../../../src/http/send/network-error.ts';
import type { RetryPolicy } from '../../../../src/retry/attempts.ts';
import type { Retry } from '../../../../src/http/send/send.ts';
import { resumingStream } from '../../../../src/transports/registry/read/blob-download.ts';
import { RegistryError } from '../../../../src/transports/registry/registry-error.ts';
import type { RegistrySource } from '../../../../src/transports/registry/registry-source.ts';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry, type RegistryOptions, type Rule, type TestRegistry } from '../../../support/registry.ts';
import { clientOf, hastyPolicy, infoOf, openAccess, sourceAt } from '../../../support/registry-transport.ts';

const blob = randomBytes('download', 300_000);
const info = infoOf(blob);
const BLOB = { method: 'GET', path: /\/(blobs|storage)\// };

interface Setting extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly source: RegistrySource;
  readonly retries: Retry[];
  /** The Range of each request for the blob; what it was redirected to apart. */
  readonly ranges: () => readonly (string | undefined)[];
}

async function setUp(
  options: RegistryOptions & { content?: Buffer; policy?: Partial<RetryPolicy>; idleTimeoutMs?: number } = {},
): Promise<Setting> {
  const { content = blob, policy, idleTimeoutMs, ...settings } = options;
  const registry = await startRegistry(settings);
  const access = openAccess({ policy, idleTimeoutMs });
  registry.seedBlob('app', content);
  const retries: Retry[] = [];
  const observer = { onRetry: (retry: Retry): void => void retries.push(retry) };
  const source = await sourceAt(access, registry, 'app:v1', { observer });
  return {
    registry,
    source,
    retries,
    ranges: () => registry.select({ when: ({ server }) => server === 'registry' }).map(({ range }) => range),
    async [Symbol.asyncDispose]() {
      await access[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

async function download(source: RegistrySource, wanted = info): Promise<Buffer> {
  return await buffer((await source.getBlob(wanted)).stream);
}

test('resumes at its offset when the body is cut, however it ends (behaviour 59)', async () => {
  for (const how of ['reset', 'close', 'end', 'end-at-close'] as const) {
    await using setting = await setUp();
    const { registry, source, ranges, retries } = setting;
    registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how });
    assert.deepEqual(await download(source), blob, how);
    const [, second] = ranges();
    const from = Number(/^bytes=(\d+)-$/.exec(second ?? '')?.[1]);
    assert.ok(from > 0 && from <= 100_000, `${how}: ${second}`);
    assert.equal(registry.count(BLOB), 2);
    assert.deepEqual(
      retries.map(({ side, what, why }) => ({ side, what, why })),
      [{ side: 'source', what: `blob ${info.digest}`, why: `cut after ${from} of 300000 bytes` }],
    );
  }
});

test('gives the same bytes in chunks, resumed where they were cut', async () => {
  await using setting = await setUp();
  const { registry, source, ranges } = setting;
  registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how: 'reset' });
  const { chunks } = await source.getBlob(info);
  const found: Buffer[] = [];
  for await (const chunk of chunks ?? []) found.push(chunk);
  assert.deepEqual(Buffer.concat(found), blob);
  assert.match(ranges()[1] ?? '', /^bytes=\d+-$/);
});

test('resumes when the body falls silent (behaviour 52)', async () => {
  await using setting = await setUp({ idleTimeoutMs: 50 });
  const { registry, source, ranges } = setting;
  registry.behave({ match: { ...BLOB, times: 1 }, stallAfterBytes: 65_536 });
  assert.deepEqual(await download(source), blob);
  assert.deepEqual(ranges(), [undefined, 'bytes=65536-']);
});

test('goes back to the URL of the registry, for a signed one may have expired', async () => {
  await using setting = await setUp({ redirectBlobs: 'single-use' });
  const { registry, source, ranges } = setting;
  registry.behave({ match: { path: /\/storage\//, times: 2 }, cutAfterBytes: 100_000, how: 'end' });
  assert.deepEqual(await download(source), blob);
  assert.deepEqual(ranges(), [undefined, 'bytes=100000-', 'bytes=200000-']);
  assert.deepEqual(
    registry.select({ path: /\/storage\// }).map(({ range }) => range),
    ranges(),
  );
});

test('passes over what it knows when the server ignores the range', async () => {
  await using setting = await setUp({ ranges: false });
  const { registry, source } = setting;
  for (const cutAfterBytes of [100_000, 50_000, 250_000])
    registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes, how: 'end' });
  assert.deepEqual(await download(source), blob);
  assert.equal(registry.count(BLOB), 4);
});

const refusals: Readonly<Record<string, Rule>> = {
  'other bytes': { contentRange: () => 'bytes 100001-299999/300000' },
  'the beginning': { contentRange: () => 'bytes 0-199999/300000' },
  'bytes of a blob of another size': { contentRange: () => 'bytes 100000-299999/300001' },
  'a Content-Range that is invalid': { contentRange: () => 'nonsense' },
  '400': { status: 400 },
  '403': { status: 403 },
  '416': { status: 416 },
  '500': { status: 500 },
  '501': { status: 501 },
};

for (const [what, rule] of Object.entries(refusals)) {
  test(`asks for the blob from its first byte when ${what} comes in place of the rest, and skips what it has`, async () => {
    await using setting = await setUp();
    const { registry, source, ranges } = setting;
    registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how: 'end' });
    registry.behave({ match: { ...BLOB, when: ({ range }) => range !== undefined }, ...rule });
    // Cut once more: the rest, which was refused once, is not asked for again.
    registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 200_000, how: 'end' });
    assert.deepEqual(await download(source), blob);
    const rest = what === '500' ? Array.from({ length: 3 }, () => 'bytes=100000-') : ['bytes=100000-'];
    assert.deepEqual(ranges(), [undefined, ...rest, undefined, undefined]);
    assert.equal(registry.requests.at(-1)?.headers['cache-control'], 'no-cache');
  });
}

test('says that the blob is gone when that is the answer to a request for its rest', async () => {
  await using setting = await setUp();
  const { registry, source } = setting;
  registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how: 'end' });
  registry.behave({ match: BLOB, status: 404 });
  await assert.rejects(download(source), { name: 'RegistryError', kind: 'not-found' });
  assert.equal(registry.count(BLOB), 2);
});

test('finds a blob damaged that ends at the same byte twice, without a length, and has no more', async () => {
  await using setting = await setUp();
  const { registry, source, ranges } = setting;
  registry.behave({ match: { ...BLOB, when: ({ range }) => range !== undefined }, status: 416 });
  registry.behave({ match: BLOB, cutAfterBytes: 100_000, how: 'end' });
  await assert.rejects(download(source), { code: 'ERR_BODY_CUT', kind: 'integrity' });
  assert.deepEqual(ranges(), [undefined, 'bytes=100000-', undefined]);
});

test('does not resume without retries', async () => {
  await using setting = await setUp({ policy: { retries: 0 } });
  const { registry, source } = setting;
  registry.behave({ match: BLOB, cutAfterBytes: 100_000 });
  await assert.rejects(download(source), NetworkError);
  assert.equal(registry.count(BLOB), 1);
});

test('bears with a registry that is down for a moment while it asks for the rest', async () => {
  await using setting = await setUp();
  const { registry, source } = setting;
  registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how: 'end' });
  registry.behave({ match: { ...BLOB, times: 2 }, status: 503 });
  registry.behave({ match: { ...BLOB, times: 1 }, status: 429 });
  assert.deepEqual(await download(source), blob);
  assert.equal(registry.count(BLOB), 5);
});

test('gives up on a blob that ends too soon again and again', async () => {
  await using setting = await setUp({ policy: { retries: 3 } });
  const { registry, source } = setting;
  registry.behave({ match: { ...BLOB, times: 1 }, cutAfterBytes: 100_000, how: 'end' });
  registry.behave({ match: BLOB, cutAfterBytes: 10, how: 'end' });
  await assert.rejects(download(source), (error: unknown) => {
    assert.ok(error instanceof Error && 'code' in error && 'kind' in error);
    assert.deepEqual([error.code, error.kind], ['ERR_BODY_CUT', 'integrity']);
    assert.match(error.message, /ends after 1000\d0 of 300000 bytes/);
    return true;
  });
  assert.equal(registry.count(BLOB), 4);
});

test('hands the failure of the network on when it comes again and again', async () => {
  await using setting = await setUp({ policy: { retries: 2 } });
  const { registry, source } = setting;
  registry.behave({ match: BLOB, cutAfterBytes: 1000 });
  await assert.rejects(download(source), NetworkError);
  assert.equal(registry.count(BLOB), 3);
});

test('counts from the start again after a mebibyte of progress (behaviour 59)', async () => {
  const large = randomBytes('large', 6_000_000);
  await using setting = await setUp({ content: large, policy: { retries: 1 } });
  const { registry, source } = setting;
  registry.behave({ match: BLOB, cutAfterBytes: 1_200_000, how: 'end' });
  assert.deepEqual(await download(source, infoOf(large)), large);
  assert.equal(registry.count(BLOB), 5);
});

test('takes a connection that breaks after the last byte for an end', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const client = await clientOf(access, registry, 'app');
  const url = new URL(registry.url);
  const body = Readable.from(
    (function* () {
      yield blob;
      throw Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
    })(),
    { objectMode: false },
  );
  const first = { status: 200, headers: {}, body, url };
  assert.deepEqual(
    await buffer(resumingStream(client, info.digest, blob.length, first, { policy: hastyPolicy })),
    blob,
  );
  assert.equal(registry.count(), 0);
});

test('ends the request when its reader goes away, and asks for nothing more', async () => {
  await using setting = await setUp();
  const { registry, source } = setting;
  registry.behave({ match: BLOB, stallAfterBytes: 65_536 });
  const { stream } = await source.getBlob(info);
  await new Promise((resolve) => stream.once('data', resolve));
  stream.destroy();
  await registry.idle();
  assert.deepEqual(
    registry.requests.map(({ outcome }) => outcome),
    ['aborted'],
  );
});

test('ends with its signal, in the middle of a wait too', async () => {
  const controller = new AbortController();
  const policy = {
    sleep: (_ms: number, signal: AbortSignal | undefined): Promise<void> => {
      controller.abort();
      return Promise.reject(signal?.reason as Error);
    },
  };
  await using setting = await setUp({ policy });
  const { registry, source } = setting;
  registry.behave({ match: BLOB, cutAfterBytes: 1000, how: 'end' });
  const { stream } = await source.getBlob(info, { signal: controller.signal });
  await assert.rejects(buffer(stream), { name: 'AbortError' });
  assert.equal(registry.count(), 1);
});

test('says that there is no such blob', async () => {
  await using setting = await setUp();
  await assert.rejects(download(setting.source, infoOf(Buffer.from('unknown'))), RegistryError);
});
