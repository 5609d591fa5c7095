import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { limitRate } from '../../../src/http/send/rate-limit.ts';
import type { HttpRequest, HttpResponse, RequestBody, Send } from '../../../src/http/send/send.ts';

const RATE = 16_000;
const url = new URL('https://registry.test/v2/app/blobs/1');
const get: HttpRequest = { method: 'GET', url, side: 'source', answerBody: 'stream' };
const put: HttpRequest = { method: 'PUT', url, side: 'destination' };

/** A clock that only sleeping moves: to the earliest time that somebody sleeps until. */
class Clock {
  now = 0;
  readonly #sleepers: { readonly until: number; readonly wake: () => void }[] = [];

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      this.#sleepers.push({ until: this.now + ms, wake: resolve });
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });

  /** Lets time pass until nobody sleeps any more, or until `end`. */
  async run(end: number = Infinity): Promise<void> {
    for (;;) {
      for (let turns = 20; turns > 0; turns -= 1) await nextTurn();
      this.#sleepers.sort((one, other) => one.until - other.until);
      const next = this.#sleepers[0];
      if (next === undefined || next.until > end) return;
      this.#sleepers.shift();
      this.now = next.until;
      next.wake();
    }
  }
}

/** Bytes in packets of so many. */
function stream(bytes: number, packet: number = 8000): Readable {
  const packets = Array.from({ length: bytes / packet }, () => Buffer.alloc(packet, 'x'));
  return Readable.from(packets, { objectMode: false });
}

interface Setting {
  readonly clock: Clock;
  readonly send: Send;
  readonly received: RequestBody[];
}

/** A host that answers each request with so many bytes, behind the limit. */
function host(bytes: number): Setting {
  const clock = new Clock();
  const received: RequestBody[] = [];
  const layer = limitRate(RATE, { now: () => clock.now, sleep: clock.sleep });
  const send = layer(({ body }): Promise<HttpResponse> => {
    if (body !== undefined) received.push(body);
    const headers = { 'content-length': String(bytes) };
    return Promise.resolve({ status: 200, headers, body: stream(bytes), url });
  });
  return { clock, send, received };
}

/** Reads a body, and notes when how much of it was there. */
async function read(body: Readable, clock: Clock, seen: { at: number; bytes: number }[]): Promise<void> {
  for await (const chunk of body as AsyncIterable<Buffer>) seen.push({ at: clock.now, bytes: chunk.length });
}

test('all downloads together keep to the rate, smoothly, and each of them moves', async () => {
  const { clock, send } = host(64_000);
  const seen = [0, 1, 2].map((): { at: number; bytes: number }[] => []);
  const reading = seen.map(async (one) => await read((await send(get)).body, clock, one));
  await clock.run();
  await Promise.all(reading);
  const all = seen.flat();
  assert.equal(
    all.reduce((sum, { bytes }) => sum + bytes, 0),
    3 * 64_000,
  );
  assert.ok(Math.abs(clock.now - 12_000) <= 200, `${clock.now} ms for 12 seconds' bytes`);
  for (let second = 0; second < 11; second += 1) {
    const bytesIn = (one: typeof all): number =>
      one.reduce((sum, { at, bytes }) => (at >= second * 1000 && at < second * 1000 + 1000 ? sum + bytes : sum), 0);
    assert.ok(bytesIn(all) >= RATE * 0.8 && bytesIn(all) <= RATE * 1.2, `${bytesIn(all)} bytes in second ${second}`);
    for (const one of seen) assert.ok(bytesIn(one) > 0);
  }
});

test('uploads keep to the rate of their own, whatever their body is', async () => {
  const bodies: readonly RequestBody[] = [Buffer.alloc(80_000), stream(80_000), () => stream(80_000)];
  for (const body of bodies) {
    const { clock, send, received } = host(0);
    await send({ ...put, body });
    const [sent] = received;
    assert.ok(sent !== undefined && !(sent instanceof Uint8Array));
    const whole = buffer(typeof sent === 'function' ? sent() : sent);
    await clock.run();
    assert.equal((await whole).length, 80_000);
    assert.ok(Math.abs(clock.now - 5000) <= 200, `${clock.now}`);
  }
});

test('bytes that are sent from memory keep their length, and can be sent again', async () => {
  const { send, received } = host(0);
  const next = limitRate(RATE)(async (request) => {
    assert.equal(request.bodyLength, 80_000);
    return await send(request);
  });
  await next({ ...put, body: Buffer.alloc(80_000) });
  assert.equal(typeof received[0], 'function');
});

test('what is read into memory passes at once, and the blobs wait longer for it', async () => {
  const { clock, send } = host(16_000);
  const manifest = await send({ ...get, answerBody: { maxBytes: 100_000 } });
  assert.equal((await buffer(manifest.body)).length, 16_000);
  assert.equal(clock.now, 0);
  const blob = buffer((await send(get)).body);
  await clock.run();
  assert.equal((await blob).length, 16_000);
  assert.ok(Math.abs(clock.now - 2000) <= 200, `${clock.now}`);
});

test('a reader that leaves ends the transfer, in the middle of a wait too', async () => {
  const clock = new Clock();
  const body = stream(64_000);
  const layer = limitRate(RATE, { now: () => clock.now, sleep: clock.sleep });
  const response = await layer(() => Promise.resolve({ status: 200, headers: {}, body, url }))(get);
  const reading = buffer(response.body);
  await clock.run(500);
  response.body.destroy(new Error('enough'));
  await assert.rejects(reading, /enough/);
  await clock.run(0);
  assert.equal(body.destroyed, true);
});

test('hands on the failure of a body', async () => {
  const failure = new Error('reset');
  const body = new Readable({ read: () => body.destroy(failure) });
  const response = await limitRate(RATE)(() => Promise.resolve({ status: 200, headers: {}, body, url }))(get);
  await assert.rejects(buffer(response.body), failure);
});
