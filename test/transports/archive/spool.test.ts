import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import type { PassingMember } from '../../../src/transports/archive/read-members.ts';
import { Spool } from '../../../src/transports/archive/spool.ts';

const [half, rest] = [Buffer.alloc(300_000, 'a'), Buffer.alloc(200_000, 'b')];
const whole = Buffer.concat([half, rest]);

test('a member is read while it comes, and for a retry once all of it has come', async () => {
  await using spool = new Spool('-');
  const { coming, keeping } = await begin(spool);
  const order: string[] = [];
  const again = spool.follow('layer', { isWhole: true }).once('data', () => order.push('again'));
  const retried = buffer(again);
  const stream = spool.follow('layer');
  const read = buffer(stream);
  await once(stream, 'data');
  order.push('first');
  coming.end(rest);
  await keeping;
  assert.deepEqual(await Promise.all([read, retried]), [whole, whole]);
  assert.deepEqual(order, ['first', 'again']);
});

test('who reads a member that breaks off is told why', async () => {
  await using spool = new Spool('-');
  const { coming, keeping } = await begin(spool);
  const reading = buffer(spool.follow('layer'));
  coming.destroy(new Error('cut'));
  await assert.rejects(keeping, { message: 'cut' });
  await assert.rejects(reading, { message: 'cut' });
});

test('who reads a member is not kept waiting when the archive is closed, or the copy interrupted', async () => {
  const spool = new Spool('-');
  const { coming, keeping } = await begin(spool);
  const interruption = new AbortController();
  const readings = [spool.follow('layer', { signal: interruption.signal }), spool.follow('layer')].map((one) =>
    buffer(one),
  );
  const [interrupted, closed] = readings.map((reading) => reading.catch((error: unknown) => error));
  interruption.abort();
  assert.equal(((await interrupted) as Error).name, 'AbortError');
  await spool[Symbol.asyncDispose]();
  assert.ok((await closed) instanceof Error);
  coming.destroy(new Error('cut'));
  await assert.rejects(keeping);
});

/** A member of which one half has come. */
async function begin(spool: Spool): Promise<{ readonly coming: PassThrough; readonly keeping: Promise<void> }> {
  const coming = new PassThrough();
  const member: PassingMember = { name: 'layer', kind: 'file', offset: 0, size: whole.length, open: () => coming };
  const { promise, resolve } = Promise.withResolvers<void>();
  const keeping = spool.keep(member, { watch: { saw: () => resolve(), ended: () => undefined } });
  keeping.catch(() => undefined);
  coming.write(half);
  await promise;
  return { coming, keeping };
}
