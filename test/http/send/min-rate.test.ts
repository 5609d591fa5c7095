import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import { minRate } from '../../../src/http/send/min-rate.ts';
import type { HttpRequest } from '../../../src/http/send/send.ts';

const url = new URL('https://registry.test/v2/app/blobs/1');
const blob: HttpRequest = { method: 'GET', url, side: 'source', answerBody: 'stream' };

interface Line {
  /** Of each packet, in bytes. */
  readonly packet: number;
  /** Between two packets, in ms. */
  readonly gapMs: number;
  /** What the reader does with each packet, in ms. */
  readonly workMs?: number;
  readonly request?: HttpRequest;
}

/** Reads 100 packets at 1,000 bytes a second at least. @returns how many came, and the error that ended them. */
async function read({ packet, gapMs, workMs = 0, request = blob }: Line): Promise<{ count: number; error: unknown }> {
  let now = 0;
  let left = 100;
  const body = new Readable({
    read(): void {
      now += gapMs;
      left -= 1;
      this.push(left < 0 ? null : Buffer.alloc(packet));
    },
    highWaterMark: 1,
  });
  const send = minRate(1000, { now: () => now })(() => Promise.resolve({ status: 200, headers: {}, body, url }));
  let count = 0;
  try {
    for await (const { length } of (await send(request)).body as AsyncIterable<Buffer>) {
      count += length / packet;
      now += workMs;
    }
  } catch (error) {
    assert.ok(body.destroyed);
    return { count, error };
  }
  return { count, error: undefined };
}

test('a source that drips ends after a minute of waiting for it', async () => {
  const { count, error } = await read({ packet: 100, gapMs: 10_000 });
  assert.ok(error instanceof NetworkError);
  assert.deepEqual([error.code, error.side, count < 10], ['ERR_SOURCE_TOO_SLOW', 'source', true]);
});

test('a source that is fast enough, or silent for less than a minute, does not', async () => {
  assert.deepEqual(await read({ packet: 20_000, gapMs: 10_000 }), { count: 100, error: undefined });
  assert.deepEqual(await read({ packet: 1, gapMs: 500 }), { count: 100, error: undefined });
});

test('the time that the reader takes is not the source’s', async () => {
  assert.deepEqual(await read({ packet: 1, gapMs: 1, workMs: 120_000 }), { count: 100, error: undefined });
});

test('only blobs of a source count', async () => {
  for (const other of [{ side: 'destination' }, { answerBody: { maxBytes: 1000 } }, { answerBody: undefined }] as const)
    assert.equal((await read({ packet: 1, gapMs: 10_000, request: { ...blob, ...other } })).count, 100);
});
