import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCache } from '../../../src/cache/no-cache.ts';
import type { BlobInfoCache } from '../../../src/contract/blob-info-cache.ts';
import { openRegistryDestination } from '../../../src/transports/registry/registry-destination.ts';
import { openRegistrySource } from '../../../src/transports/registry/registry-source.ts';
import { parseRegistryReference } from '../../../src/reference/registry-reference.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { endpointOf, infoOf, openAccess, referenceTo, streamOf } from '../../support/registry-transport.ts';

const layer = randomBytes('endpoints', 2000);
const image = buildImage({ layers: [layer] });
/** A registry that is nowhere: only its address can be asked. */
const name = parseRegistryReference('name.invalid/app:v1', 'name.invalid/app:v1');

interface Noted {
  readonly cache: BlobInfoCache;
  readonly places: string[];
}

function notingCache(): Noted {
  const places: string[] = [];
  const cache: BlobInfoCache = {
    ...noCache(),
    recordKnownLocation: (_digest, { registry, repository }) => void places.push(`${registry}/${repository}`),
    recordHostAbility: (host, ability) => void places.push(`${host} ${ability}`),
  };
  return { cache, places };
}

test('what is read from the address of a name is noted of the address', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  registry.seed('mirror/app', 'v1', image);
  const { cache, places } = notingCache();
  const endpoint = endpointOf(referenceTo(registry, 'mirror/app:v1'));
  await using source = await openRegistrySource(access, name, endpoint, { cache: () => cache });
  assert.equal(source.reference, 'docker://name.invalid/app:v1');
  assert.equal((await source.getManifest()).digest, image.manifest.digest);
  const { stream } = await source.getBlob(infoOf(layer), { cache });
  assert.deepEqual(Buffer.concat((await stream.toArray()) as Buffer[]), layer);
  source.rangeSupport.report({ ranges: true, multiRange: true });
  assert.deepEqual(source.servedFrom(), endpoint.address);
  assert.deepEqual(places, [`${registry.host}/mirror/app`, `${registry.host} ranges`, `${registry.host} multi-range`]);
});

test('what is written to the address of a name is noted of the address', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  registry.seed('base', 'v1', image);
  const { cache, places } = notingCache();
  const endpoint = endpointOf(referenceTo(registry, 'moved/app:v1'));
  await using destination = await openRegistryDestination(access, name, endpoint, { cache: () => cache });
  assert.equal(destination.reference, 'docker://name.invalid/app:v1');
  assert.deepEqual(destination.repository, endpoint.address);
  const srcRef = { registry: registry.host, repository: 'base' };
  for (const info of [infoOf(layer), ...[...image.blobs.values()].map(infoOf)]) {
    const reused = await destination.tryReusingBlobWithOptions(info, { srcRef, cache });
    assert.ok(reused.reused);
  }
  const own = randomBytes('endpoints, written', 3000);
  await destination.putBlobWithOptions(streamOf(own), infoOf(own), { cache });
  await destination.putManifest(image.manifest);
  assert.equal(registry.manifest('moved/app', 'v1')?.digest, image.manifest.digest);
  assert.deepEqual(new Set(places), new Set([`${registry.host}/moved/app`]));
});
