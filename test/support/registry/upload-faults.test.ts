import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { randomBytes } from '../images.ts';
import { startLeavingRegistry as startRegistry, type TestRegistry } from '../registry.ts';

const blob = randomBytes('blob', 300_000);
const digest = digestOf(blob);

async function openUpload(registry: TestRegistry): Promise<URL> {
  const answer = await fetch(`${registry.url}/v2/app/blobs/uploads/`, { method: 'POST' });
  return new URL(answer.headers.get('location') ?? '', answer.url);
}

async function patch(url: URL, body = blob): Promise<Response> {
  return await fetch(url, { method: 'PATCH', body: Uint8Array.from(body) });
}

test('never answers, having read the whole request', async () => {
  await using registry = await startRegistry();
  const url = await openUpload(registry);
  registry.behave({ match: { method: 'PATCH' }, stall: true });
  const left = new AbortController();
  const call = fetch(url, { method: 'PATCH', body: Uint8Array.from(blob), signal: left.signal });
  await registry.until(() => registry.requests.at(-1)?.bodyBytes === blob.length);
  left.abort();
  await assert.rejects(call);
  await registry.idle();
  assert.equal(registry.requests.at(-1)?.status, undefined);
});

test('cuts an upload after exactly so many bytes, and keeps or forgets the session', async () => {
  for (const keepCutSessions of [true, false]) {
    await using registry = await startRegistry({ keepCutSessions });
    const url = await openUpload(registry);
    registry.behave({ match: { method: 'PATCH', times: 1 }, resetAfterRequestBytes: 100_000 });
    await assert.rejects(patch(url));
    await registry.idle();
    assert.equal(registry.requests.at(-1)?.bodyBytes, 100_000);
    const status = await fetch(url);
    assert.deepEqual([status.status, status.headers.get('range')], keepCutSessions ? [204, '0-99999'] : [404, null]);
    if (!keepCutSessions) continue;
    url.searchParams.set('digest', digest);
    const rest = Uint8Array.from(blob.subarray(100_000));
    assert.equal((await fetch(url, { method: 'PUT', body: rest })).status, 201);
  }
});

test('keeps what came when the client itself cuts an upload', async () => {
  await using registry = await startRegistry();
  const url = await openUpload(registry);
  const call = request(url, { method: 'PATCH', headers: { 'content-length': '1000' } });
  call.on('error', () => {});
  call.write(blob.subarray(0, 400));
  await registry.until(() => registry.requests.at(-1)?.bodyBytes === 400);
  call.destroy();
  await registry.idle();
  assert.equal(registry.sessions[0]?.bytes, 400);
});

test('stops reading an upload after so many bytes', async () => {
  await using registry = await startRegistry();
  const url = await openUpload(registry);
  registry.behave({ match: { method: 'PATCH' }, stallAfterRequestBytes: 1000 });
  const left = new AbortController();
  const call = fetch(url, { method: 'PATCH', body: Uint8Array.from(blob), signal: left.signal });
  await registry.until(() => registry.requests.at(-1)?.bodyBytes === 1000);
  left.abort();
  await assert.rejects(call);
  await registry.idle();
  assert.equal(registry.sessions[0]?.bytes, 1000);
});

test('refuses an upload in the middle of its body', async () => {
  await using registry = await startRegistry();
  const url = await openUpload(registry);
  registry.behave({ match: { method: 'PATCH', times: 1 }, status: 503, afterRequestBytes: 1000 });
  const call = request(url, { method: 'PATCH', agent: false, headers: { 'content-length': '2000' } });
  call.write(blob.subarray(0, 1000));
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  answer.resume();
  assert.equal(answer.statusCode, 503);
  call.destroy();
  await registry.idle();
  assert.equal(registry.sessions[0]?.bytes, 0);
});

test('carries a request out and loses the answer', async () => {
  await using registry = await startRegistry();
  const url = await openUpload(registry);
  url.searchParams.set('digest', digest);
  registry.behave({ match: { method: 'PUT' }, loseAnswer: 'reset' });
  await assert.rejects(fetch(url, { method: 'PUT', body: Uint8Array.from(blob) }));
  assert.deepEqual(registry.blob('app', digest), blob);
});
