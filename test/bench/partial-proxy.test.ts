import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { startCountingProxy } from '../../bench/partial-proxy.ts';
import { randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';

const blob = randomBytes('blob', 300_000);

test('counts the bytes of an answer without its head, by the request', async (t) => {
  await using registry = await startRegistry();
  const digest = registry.seedBlob('app', blob);
  const proxy = await startCountingProxy(registry.host);
  t.after(() => proxy.close());
  const path = `/v2/app/blobs/${digest}`;
  const answer = await fetch(`http://${proxy.host}${path}`, { headers: { range: 'bytes=100000-199999' } });
  assert.equal(answer.status, 206);
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(blob.subarray(100_000, 200_000)));
  assert.deepEqual(proxy.requests, [{ method: 'GET', path, receivedBytes: 0, sentBytes: 100_000 }]);
  proxy.reset();
  assert.deepEqual(proxy.requests, []);
});

test('passes headers on as they are, and counts what is uploaded', async (t) => {
  await using registry = await startRegistry({ leavesSessions: true });
  const proxy = await startCountingProxy(registry.host);
  t.after(() => proxy.close());
  const base = `http://${proxy.host}`;
  const { headers } = await fetch(`${base}/v2/app/blobs/uploads/`, { method: 'POST' });
  // Registries make the URLs that they answer with out of this header: they lead back to the proxy.
  assert.equal(registry.requests[0]?.headers.host, proxy.host);
  const location = new URL(headers.get('location') ?? '', base);
  assert.equal((await fetch(location, { method: 'PATCH', body: new Uint8Array(blob) })).status, 202);
  assert.equal(registry.sessions[0]?.bytes, blob.length);
  assert.deepEqual(
    proxy.requests.map(({ method, receivedBytes }) => ({ method, receivedBytes })),
    [
      { method: 'POST', receivedBytes: 0 },
      { method: 'PATCH', receivedBytes: blob.length },
    ],
  );
});

test('cuts an upload at the registry when its client is gone', async (t) => {
  await using registry = await startRegistry({ leavesSessions: true });
  const proxy = await startCountingProxy(registry.host);
  t.after(() => proxy.close());
  const base = `http://${proxy.host}`;
  const { headers } = await fetch(`${base}/v2/app/blobs/uploads/`, { method: 'POST' });
  const sending = request(new URL(headers.get('location') ?? '', base), {
    method: 'PATCH',
    headers: { 'content-length': 2 * blob.length },
  });
  sending.on('error', () => undefined);
  sending.write(blob);
  const isPatch = { method: 'PATCH' };
  await registry.until(() => registry.select(isPatch)[0]?.bodyBytes === blob.length);
  sending.destroy();
  await registry.until(() => registry.select(isPatch)[0]?.outcome === 'aborted');
  assert.equal(proxy.requests[1]?.receivedBytes, blob.length);
});
