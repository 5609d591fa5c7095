import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HostGates } from '../../src/http/gate.ts';
import type { Headers, HttpRequest, HttpResponse } from '../../src/http/send.ts';

const url = new URL('https://registry.test/v2/');
const get: HttpRequest = { method: 'GET', url, side: 'source' };
const MIB = 1024 * 1024;

/** Gates before a host whose answers are in the hands of the test, and a clock that only sleeping moves. */
class Host {
  now = 0;
  readonly slept: number[] = [];
  /** The requests that came through and are not answered yet. */
  readonly pending: { readonly request: HttpRequest; readonly settle: PromiseWithResolvers<HttpResponse> }[] = [];
  readonly gates: HostGates;
  /** Called in the place of sleeping; default: time passes. */
  sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void> = (ms) => {
    this.now += ms;
    return Promise.resolve();
  };

  constructor(limit: number) {
    this.gates = new HostGates({
      limit,
      now: () => this.now,
      sleep: (ms, signal) => {
        this.slept.push(ms);
        return this.sleep(ms, signal);
      },
    });
  }

  /** Sends requests; their answers, or errors, are for the test to wait for. */
  send(count: number, more: Partial<HttpRequest> = {}): Promise<HttpResponse>[] {
    const through = this.gates.throttle((request) => {
      const settle = Promise.withResolvers<HttpResponse>();
      this.pending.push({ request, settle });
      return settle.promise;
    });
    return Array.from({ length: count }, () => through({ ...get, ...more }));
  }

  /** Answers the oldest request. */
  answer(status: number, headers: Headers = {}, body: Readable = Readable.from([])): void {
    this.pending.shift()?.settle.resolve({ status, headers: { 'content-length': '0', ...headers }, body, url });
  }

  /** Sends one request after the other, which get this answer, and reads their bodies. */
  async exchange(count: number, status: number, headers: Headers = {}): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      const [response] = this.send(1);
      await settled();
      this.answer(status, headers);
      (await response)?.body.resume();
      await settled();
    }
  }

  get limit(): number {
    return this.gates.limitOf(url.host);
  }
}

/** Lets pass what is about to happen. */
async function settled(): Promise<void> {
  for (let turns = 4; turns > 0; turns -= 1) await nextTurn();
}

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

test('halves on 429 and 503, and never lets fewer than one through', async () => {
  const host = new Host(16);
  const limits: number[] = [];
  for (const status of [429, 503, 429, 503, 429]) {
    await host.exchange(1, status);
    limits.push(host.limit);
  }
  assert.deepEqual(limits, [8, 4, 2, 1, 1]);
  await host.exchange(1, 500);
  assert.equal(host.limit, 1);
});

test('is narrowed once by what was in flight together', async () => {
  const host = new Host(8);
  void host.send(8);
  await settled();
  for (let left = 8; left > 0; left -= 1) host.answer(429);
  await settled();
  assert.equal(host.limit, 4);
});

test('opens again by one after ten clean answers, up to where it began', async () => {
  const host = new Host(4);
  await host.exchange(2, 429);
  assert.equal(host.limit, 1);
  await host.exchange(9, 200);
  assert.equal(host.limit, 1);
  await host.exchange(1, 404);
  assert.equal(host.limit, 2);
  await host.exchange(60, 200);
  assert.equal(host.limit, 4);
});

test('counts clean answers from the last refusal on', async () => {
  const host = new Host(4);
  await host.exchange(1, 429);
  await host.exchange(9, 200);
  await host.exchange(1, 429);
  await host.exchange(9, 200);
  assert.equal(host.limit, 1);
  await host.exchange(1, 200);
  assert.equal(host.limit, 2);
});

test('holds everything back for as long as a host asks for, five minutes at most', async () => {
  const cases: readonly [retryAfter: string | undefined, slept: number[]][] = [
    ['3', [3000]],
    ['Thu, 01 Jan 1970 00:00:04 GMT', [4000]],
    ['9999', [300_000]],
    [undefined, []],
  ];
  for (const [retryAfter, slept] of cases) {
    const host = new Host(4);
    await host.exchange(1, 429, { 'retry-after': retryAfter });
    await host.exchange(2, 200);
    assert.deepEqual(host.slept, slept);
  }
});

test('waits again when the host asks for more while requests are held', async () => {
  const host = new Host(4);
  void host.send(1);
  await settled();
  const [early] = host.pending.splice(0);
  await host.exchange(1, 429, { 'retry-after': '2' });
  host.sleep = async (ms) => {
    host.now += ms;
    if (host.slept.length > 1) return;
    early?.settle.resolve({ status: 429, headers: { 'retry-after': '5' }, body: Readable.from([]), url });
    await settled();
  };
  void host.send(1);
  await settled();
  await settled();
  assert.deepEqual(host.slept, [2000, 5000]);
  assert.equal(host.pending.length, 1);
});

test('gives the place back when a request is aborted while its host is held', async () => {
  const host = new Host(1);
  await host.exchange(1, 429, { 'retry-after': '60' });
  const controller = new AbortController();
  host.sleep = (_ms, signal) => {
    controller.abort();
    return Promise.reject(signal?.reason as Error);
  };
  const [held] = host.send(1, { signal: controller.signal });
  await assert.rejects(held ?? Promise.resolve(), { name: 'AbortError' });
  host.now += 60_000;
  void host.send(1);
  await settled();
  assert.equal(host.pending.length, 1);
});

function noop(): void {}
