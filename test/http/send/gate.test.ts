import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Host, settled, url } from './gate-host.ts';

const MIB = 1024 * 1024;

test('lets so many requests through to a host, and the next when one is over', async () => {
  const host = new Host(2);
  const [first] = host.send(3);
  await settled();
  assert.equal(host.pending.length, 2);
  host.answer(200);
  const response = await first;
  await settled();
  assert.equal(host.pending.length, 1, 'an answer that is not read yet holds its place');
  response?.body.resume();
  await settled();
  assert.equal(host.pending.length, 2);
});

test('counts each host for itself, by name and port', async () => {
  const host = new Host(1);
  const hosts = ['registry.test', 'registry.test:5000', 'other.test'];
  for (const name of hosts) void host.send(2, { url: new URL(`https://${name}/v2/`) });
  await settled();
  assert.deepEqual(
    host.pending.map(({ request }) => request.url.host),
    hosts,
  );
});

test('counts, narrows and holds each kind of request to a host for itself', async () => {
  const kinds = ['manifest-read', 'manifest-write', 'blob-read', 'blob-write', 'token'] as const;
  const host = new Host(2);
  for (const kind of kinds) void host.send(3, { kind });
  await settled();
  const inFlight = host.pending.map(({ request }) => request.kind);
  assert.deepEqual(
    inFlight,
    kinds.flatMap((kind) => [kind, kind]),
  );

  const limited = new Host(8);
  const [refused] = limited.send(1, { kind: 'blob-write' });
  await settled();
  limited.answer(429, { 'retry-after': '30' });
  (await refused)?.body.resume();
  for (const kind of kinds) assert.equal(limited.gates.limitOf(url.host, kind), kind === 'blob-write' ? 4 : 8, kind);
  void limited.send(1, { kind: 'blob-read' });
  await settled();
  assert.deepEqual([limited.pending.length, limited.slept], [1, []], 'a download does not wait for Retry-After');
  void limited.send(1, { kind: 'blob-write' });
  await settled();
  assert.deepEqual(limited.slept, [30_000]);
});

test('gives the place back when a request fails, and when it is aborted while it waits', async () => {
  const host = new Host(1);
  const controller = new AbortController();
  const [failing] = host.send(1);
  const [aborted] = host.send(1, { signal: controller.signal });
  void host.send(1);
  controller.abort();
  await assert.rejects(aborted ?? Promise.resolve(), { name: 'AbortError' });
  const failure = new Error('connection lost');
  host.pending.shift()?.settle.reject(failure);
  await assert.rejects(failing ?? Promise.resolve(), failure);
  await settled();
  assert.equal(host.pending.length, 1);
});

test('gives the place back however a short body ends', async () => {
  const ends: ((body: Readable) => void)[] = [
    (body) => body.resume(),
    (body) => body.destroy(),
    (body) => body.on('error', () => undefined).destroy(new Error('cut')),
  ];
  for (const end of ends) {
    const host = new Host(1);
    const [first] = host.send(2);
    await settled();
    host.answer(200, { 'content-length': '1000' }, new Readable({ read: () => undefined }).on('resume', noop));
    const response = await first;
    if (response !== undefined) {
      response.body.push(null);
      end(response.body);
    }
    await settled();
    assert.equal(host.pending.length, 1);
  }
});

test('does not count a long download, or one of unknown length, once it has begun', async () => {
  for (const headers of [{ 'content-length': String(5 * MIB) }, { 'content-length': undefined }]) {
    const host = new Host(1);
    const [first] = host.send(2);
    await settled();
    host.answer(200, headers, new Readable({ read: () => undefined }));
    await first;
    await settled();
    assert.equal(host.pending.length, 1);
  }
});

test('does not count an upload that is streamed: it may wait for a download of the same host', async () => {
  const host = new Host(1);
  void host.send(3, { method: 'PATCH', body: new Readable({ read: () => undefined }) });
  void host.send(2, { method: 'PUT', body: Buffer.from('bytes') });
  await settled();
  assert.deepEqual(
    host.pending.map(({ request }) => request.method),
    ['PATCH', 'PATCH', 'PATCH', 'PUT'],
  );
});

function noop(): void {}
