import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { buildImage, randomBytes } from '../images.ts';
import { startRegistry, type TestRegistry } from '../registry.ts';
import type { CutKind } from './faults.ts';

const blob = randomBytes('blob', 300_000);
const digest = digestOf(blob);
const blobs = { path: /\/blobs\/sha256:/ };

/** A GET up to its end or its failure. */
async function download(url: string): Promise<{ headers: Headers; bytes: Buffer; failed: boolean }> {
  const answer = await fetch(url);
  const chunks: Uint8Array[] = [];
  let failed = false;
  try {
    for await (const chunk of answer.body ?? []) chunks.push(chunk as Uint8Array);
  } catch {
    failed = true;
  }
  return { headers: answer.headers, bytes: Buffer.concat(chunks), failed };
}

async function startWithBlob(options = {}): Promise<{ registry: TestRegistry; url: string }> {
  const registry = await startRegistry(options);
  registry.seedBlob('app', blob);
  return { registry, url: `${registry.url}/v2/app/blobs/${digest}` };
}

test('answers with a status and headers, so many times, after so many requests', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  registry.behave({
    match: { ...blobs, after: 1, times: 1 },
    status: 429,
    headers: { 'Retry-After': '7' },
    body: 'slow',
  });
  registry.behave({ match: { ...blobs, times: 1 }, status: 503 });
  const answers = [await fetch(url), await fetch(url), await fetch(url)];
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [503, 429, 200],
  );
  assert.equal(answers[1]?.headers.get('retry-after'), '7');
  assert.equal(await answers[1]?.text(), 'slow');
});

test('takes a rule back', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const takeBack = registry.behave({ status: 500 });
  assert.equal((await fetch(url)).status, 500);
  takeBack();
  assert.equal((await fetch(url)).status, 200);
  registry.behave({ status: 500 });
  registry.behaveWell();
  assert.equal((await fetch(url)).status, 200);
});

test('edits the headers of an answer', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  registry.behave({ headers: { Warning: '299 - "old"', 'Content-Length': undefined } });
  const { headers, bytes } = await download(url);
  assert.deepEqual([headers.get('warning'), headers.get('content-length')], ['299 - "old"', null]);
  assert.deepEqual(bytes, blob);
});

test('cuts an answer after exactly so many bytes, in every way', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const cases: [CutKind, { length: string | null; failed: boolean }][] = [
    ['reset', { length: '300000', failed: true }],
    ['close', { length: '300000', failed: true }],
    ['end', { length: null, failed: false }],
    ['end-at-close', { length: null, failed: false }],
    ['short-length', { length: '70000', failed: false }],
  ];
  for (const [how, expected] of cases) {
    const takeBack = registry.behave({ match: blobs, cutAfterBytes: 70_000, how });
    const { headers, bytes, failed } = await download(url);
    assert.deepEqual({ length: headers.get('content-length'), failed }, expected, how);
    assert.deepEqual(bytes, blob.subarray(0, 70_000), how);
    takeBack();
  }
  await registry.idle();
  assert.ok(registry.select(blobs).every((record) => record.bytesSent === 70_000));
  assert.deepEqual((await download(url)).bytes, blob);
});

test('cuts an answer right after its head', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  registry.behave({ match: blobs, cutAfterBytes: 0, how: 'close' });
  const { headers, bytes, failed } = await download(url);
  assert.deepEqual([headers.get('content-length'), bytes.length, failed], ['300000', 0, true]);
});

test('stalls in an answer until the client leaves, or until told', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const go = Promise.withResolvers<undefined>();
  registry.behave({ match: { ...blobs, times: 1 }, stallAfterBytes: 1000, until: go.promise });
  registry.behave({ match: blobs, stallAfterBytes: 1000 });
  const resumed = download(url);
  await registry.until(() => registry.requests[0]?.bytesSent === 1000);
  go.resolve(undefined);
  assert.deepEqual((await resumed).bytes, blob);
  const left = new AbortController();
  const stalled = await fetch(url, { signal: left.signal });
  await registry.until(() => registry.requests[1]?.bytesSent === 1000);
  left.abort();
  await assert.rejects(stalled.text());
  await registry.idle();
  assert.deepEqual([registry.requests[1]?.outcome, registry.requests[1]?.bytesSent], ['aborted', 1000]);
});

test('sends wrong bytes of the right length', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const image = buildImage({ layers: { count: 1, size: 10 } });
  registry.seed('app', 'v1', image);
  registry.behave({ wrongBytes: true });
  const { bytes } = await download(url);
  assert.equal(bytes.length, blob.length);
  assert.equal(
    bytes.findIndex((byte, index) => byte !== blob[index]),
    150_000,
  );
  const manifest = await download(`${registry.url}/v2/app/manifests/v1`);
  assert.notEqual(digestOf(manifest.bytes), image.manifest.digest);
  assert.equal(digestOf(registry.blob('app', digest) ?? Buffer.alloc(0)), digest);
});

test('rewrites the Content-Range of an answer', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  registry.behave({ contentRange: (header) => header.replace('bytes 5-', 'bytes 6-') });
  const answer = await fetch(url, { headers: { range: 'bytes=5-9' } });
  assert.equal(answer.headers.get('content-range'), 'bytes 6-9/300000');
});

test('holds a request, delays it, and calls the test', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const seen: string[] = [];
  const gate = Promise.withResolvers<undefined>();
  registry.behave({ latencyMs: 1 });
  registry.behave({ hold: gate.promise });
  registry.behave({ call: (record) => void seen.push(`${record.method} ${record.status}`) });
  registry.behave({ match: { times: 1 }, status: 500 });
  const call = fetch(url);
  await registry.until(() => registry.count() === 1);
  assert.deepEqual(seen, []);
  gate.resolve(undefined);
  assert.equal((await call).status, 500);
  assert.deepEqual(seen, ['GET undefined']);
});

test('closes connections that are idle', async () => {
  const { registry, url } = await startWithBlob();
  await using _ = registry;
  const agent = new Agent({ keepAlive: true });
  const get = async (): Promise<void> => {
    const [answer] = (await once(request(url, { agent }).end(), 'response')) as [IncomingMessage];
    await once(answer.resume(), 'close');
  };
  await get();
  const [socket] = Object.values(agent.freeSockets).flat();
  const closed = socket === undefined ? Promise.resolve([]) : once(socket, 'close');
  registry.closeIdleConnections();
  await closed;
  await get();
  assert.equal(registry.connections, 2);
  agent.destroy();
});
