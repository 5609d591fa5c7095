import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { carry } from '../../bench/slow-direction.ts';

test('reads no more ahead than the link holds while the far end takes nothing, and continues when it does', async () => {
  const sent = Array.from({ length: 50 }, (_, index) => Buffer.alloc(1000, index));
  let taken = 0;
  const from = Readable.from(sent, { highWaterMark: 1 });
  from.on('data', (data: Buffer) => (taken += data.length));
  const to = new PassThrough({ highWaterMark: 1 });
  const oneWayMs = 1;
  const bytesPerMs = 500;

  let arrived = 0;
  carry(from as unknown as Socket, to as unknown as Socket, {
    oneWayMs,
    bytesPerMs,
    opensAt: performance.now(),
    onBytes: (bytes) => (arrived += bytes),
  });
  await once(from, 'pause');
  const held = taken - arrived;
  assert.ok(held >= 10_500 && held < 11_500, `holds ${held} bytes`);

  const received = await buffer(to);
  assert.ok(Buffer.concat(sent).equals(received));
  assert.equal(arrived, received.length);
});
