import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Host, settled, url } from './gate-host.ts';

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

test('lets one more through for each clean answer while requests wait, as long as the host has refused none', async () => {
  const host = new Host(2, 4);
  void host.send(20);
  await settled();
  const inFlight: number[] = [];
  for (let answers = 4; answers > 0; answers -= 1) {
    inFlight.push(host.pending.length);
    host.answer(200, { 'content-length': String(5_000_000) });
    await settled();
  }
  assert.deepEqual(inFlight, [2, 3, 4, 4]);
  host.answer(429);
  await settled();
  assert.equal(host.limit, 2);
  host.answer(200);
  await settled();
  assert.equal(host.limit, 2);
});

test('does not open further than is asked for', async () => {
  const host = new Host(2, 4);
  await host.exchange(20, 200);
  assert.equal(host.limit, 2);
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
