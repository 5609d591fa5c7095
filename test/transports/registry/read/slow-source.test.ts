import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from '../../../support/images.ts';
import { readersOf } from '../../../support/memory-accessor.ts';
import { startRegistry, type TestRegistry } from '../../../support/registry.ts';
import { infoOf, openAccess, sourceAt } from '../../../support/registry-transport.ts';

const blob = randomBytes('slow', 400_000);
const info = infoOf(blob);

/** A clock by which whoever looks at it has waited ten minutes since. */
function slowClock(): () => number {
  let now = 0;
  return () => (now += 600_000);
}

async function startSource(): Promise<TestRegistry> {
  const registry = await startRegistry({ packetBytes: 16 * 1024 });
  registry.seedBlob('app', blob);
  return registry;
}

test('a blob that drips is resumed within the retries, and then given up', async () => {
  await using registry = await startSource();
  await using access = openAccess({ minRate: 100_000, now: slowClock(), policy: { retries: 3 } });
  await using source = await sourceAt(access, registry, 'app:v1');
  const { stream } = await source.getBlob(info);
  await assert.rejects(stream.toArray(), { code: 'ERR_SOURCE_TOO_SLOW', side: 'source' });
  assert.equal(registry.count({ method: 'GET', path: /blobs/ }), 4);
});

test('ranges that drip are resumed within the retries, and then given up', async () => {
  await using registry = await startSource();
  await using access = openAccess({ minRate: 100_000, now: slowClock(), policy: { retries: 3 } });
  await using source = await sourceAt(access, registry, 'app:v1');
  const read = async (): Promise<void> => {
    for await (const reader of readersOf(source.getBlobAt(info, [{ offset: 1000, length: 300_000 }])))
      await reader.toArray();
  };
  await assert.rejects(read(), { code: 'ERR_SOURCE_TOO_SLOW', side: 'source' });
  assert.equal(registry.count({ method: 'GET', path: /blobs/ }), 4);
});

test('no rate is asked for by default, nor where it is limited', async () => {
  for (const options of [{}, { minRate: 0 }]) {
    await using registry = await startSource();
    await using access = openAccess({ ...options, now: slowClock() });
    await using source = await sourceAt(access, registry, 'app:v1');
    const { stream } = await source.getBlob(info);
    assert.deepEqual(Buffer.concat((await stream.toArray()) as Buffer[]), blob);
  }
});
