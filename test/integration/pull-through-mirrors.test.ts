import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { openHome, TestCopier } from '../library/test-copier.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startDistribution2, startDistribution3 } from '../support/real-registries.ts';
import { startRegistry } from '../support/registry.ts';
import { registryTable, writeRegistriesConf } from '../support/registries-conf.ts';

/** Large enough for ranges. */
const layers = [randomBytes('pull-through, large', 17 * 1024 * 1024), randomBytes('pull-through, small', 1000)];
const image = buildImage({ layers });

for (const [name, start] of [
  ['distribution 2.8', startDistribution2],
  ['distribution 3', startDistribution3],
] as const) {
  test(`copies through ${name} as a pull-through mirror, and from the registry itself when that is gone`, async (t) => {
    const origin = await startDistribution3(t);
    const mirror = origin && (await start(t, { proxyOf: origin.url }));
    if (origin === undefined || mirror === undefined) return;
    const home = await openHome(t);
    await using from = await startRegistry();
    from.seed('app', 'v1', image);
    const { env } = await writeRegistriesConf(t, registryTable('origin.test', origin.host, [mirror.host]));
    await using copier = new TestCopier(home, { env: { ...home.env, ...env }, endpoint: { plainHttp: undefined } });
    await copier.copy(`docker://${from.host}/app:v1`, `docker://${origin.host}/app:v1`);

    const addresses = async (tag: string): Promise<readonly string[]> => {
      await using to = await startRegistry();
      const { servedFrom } = await copier.copy('docker://origin.test/app:v1', `docker://${to.host}/app:${tag}`);
      assert.equal(to.manifest('app', tag)?.digest, image.manifest.digest);
      for (const layer of layers) assert.deepEqual(to.blob('app', digestOf(layer)), layer);
      return servedFrom.filter(({ blobs }) => blobs > 0).map(({ address }) => address);
    };
    assert.deepEqual(await addresses('first'), [`${mirror.host}/app`]);
    assert.deepEqual(await addresses('again'), [`${mirror.host}/app`]);
    assert.match(await readFile(mirror.logFile, 'utf8'), /GET \/v2\/app\/manifests\/v1/);
    await mirror.stop();
    assert.deepEqual(await addresses('without'), [`${origin.host}/app`]);
  });
}

test('a pull-through mirror that has what it needs serves it while its registry is gone', async (t) => {
  const origin = await startDistribution3(t);
  const mirror = origin && (await startDistribution3(t, { proxyOf: origin.url }));
  if (origin === undefined || mirror === undefined) return;
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  const { env } = await writeRegistriesConf(t, registryTable('origin.test', origin.host, [mirror.host]));
  await using copier = new TestCopier(home, { env: { ...home.env, ...env }, endpoint: { plainHttp: undefined } });
  await copier.copy(`docker://${from.host}/app:v1`, `docker://${origin.host}/app:v1`);
  await copier.copy('docker://origin.test/app:v1', `docker://${to.host}/first:v1`);
  await origin.stop();
  const result = await copier.copy('docker://origin.test/app:v1', `docker://${to.host}/second:v1`);
  assert.equal(result.digest, image.manifest.digest);
  assert.equal(to.manifest('second', 'v1')?.digest, image.manifest.digest);
});
