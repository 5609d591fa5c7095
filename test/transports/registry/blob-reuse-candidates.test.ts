import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCache } from '../../../src/cache/no-cache.ts';
import type { BlobInfoCache, ReuseCandidate } from '../../../src/contract/blob-info-cache.ts';
import type { BlobInfo } from '../../../src/contract/blob-info.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../support/registry-transport.ts';

const blob = randomBytes('wanted', 1000);
const info: BlobInfo = { ...infoOf(blob), mediaType: 'application/vnd.oci.image.layer.v1.tar' };
const gzipped = randomBytes('the same, compressed', 700);
const substitute = infoOf(gzipped);

/** A cache that knows candidates, and notes which locations it is to forget. */
function cacheOf(candidates: readonly ReuseCandidate[]): {
  readonly cache: BlobInfoCache;
  readonly forgotten: string[];
} {
  const forgotten: string[] = [];
  return {
    forgotten,
    cache: {
      ...noCache(),
      candidateLocations2: (_registry, digest, { canSubstitute }) =>
        candidates.filter((candidate) => canSubstitute || candidate.digest === digest),
      compressor: (digest) => (digest === info.digest ? 'uncompressed' : 'gzip'),
      forgetKnownLocation: (digest, { repository }) => void forgotten.push(`${repository} ${digest}`),
    },
  };
}

function seen(registry: TestRegistry, repository: string): ReuseCandidate {
  return { digest: info.digest, location: { registry: registry.host, repository }, compression: undefined };
}

test('mounts a blob from where an earlier run has seen it (behaviour 70)', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('base', blob);
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const { cache, forgotten } = cacheOf([seen(registry, 'base')]);
  const found = await destination.tryReusingBlobWithOptions(info, { cache });
  assert.deepEqual(found, { reused: true, digest: info.digest, size: 1000, mountedFrom: 'base' });
  assert.equal(exchanges(registry), 'POST 201');
  assert.deepEqual(forgotten, []);
});

test('asks for one token with both repositories for such a mount', async () => {
  await using registry = await startRegistry({ auth: { kind: 'bearer' } });
  registry.seedBlob('base', blob);
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const { cache } = cacheOf([seen(registry, 'base')]);
  assert.equal((await destination.tryReusingBlobWithOptions(info, { cache })).reused, true);
  assert.deepEqual(registry.tokens.at(-1)?.scopes, ['repository:app:pull,push', 'repository:base:pull']);
});

test('forgets a location that the blob has left, and uses the upload that was opened (behaviour 71)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  await using destination = await destinationAt(access, registry, 'app:v1');
  const { cache, forgotten } = cacheOf([seen(registry, 'base')]);
  assert.equal((await destination.tryReusingBlobWithOptions(info, { cache })).reused, false);
  assert.deepEqual(forgotten, [`base ${info.digest}`]);
  await destination.putBlobWithOptions(streamOf(blob), info, {});
  assert.equal(exchanges(registry), 'POST 202, HEAD 404, PUT 201');
});

test('mounts nothing that is in the repository itself, as its image or the cache says', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', buildImage({ layers: [blob] }));
  await using access = openAccess();
  for (const candidates of [[seen(registry, 'base')], [seen(registry, 'app'), seen(registry, 'base')]]) {
    await using destination = await destinationAt(access, registry, 'app:v1');
    if (candidates.length === 1) await destination.currentManifest();
    const { cache } = cacheOf(candidates);
    const found = await destination.tryReusingBlobWithOptions(info, { cache });
    assert.deepEqual(found, { reused: true, digest: info.digest, size: 1000 });
  }
  assert.equal(registry.count({ path: /from=base/ }), 0);
});

test('takes the same content in another compression where that is allowed', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', gzipped);
  await using access = openAccess();
  const { cache } = cacheOf([{ digest: substitute.digest, location: undefined, compression: 'gzip' }]);
  const expected = {
    reused: true,
    ...substitute,
    mountedFrom: undefined,
    compressionOperation: 'compress',
    compressionAlgorithm: 'gzip',
  };
  for (const canSubstitute of [true, false]) {
    await using destination = await destinationAt(access, registry, 'app:v1');
    const found = await destination.tryReusingBlobWithOptions(info, { cache, canSubstitute });
    assert.deepEqual(found, canSubstitute ? expected : { reused: false });
  }
  await registry.idle();
  assert.equal(registry.sessions.length, 0, 'the upload that was opened for the blob itself is let go of');
});

test('mounts the substitute as well, and forgets where it is no more', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('base', gzipped);
  await using access = openAccess();
  const candidates = ['gone', 'base'].map((repository) => ({
    digest: substitute.digest,
    location: { registry: registry.host, repository },
    compression: 'gzip' as const,
  }));
  const { cache, forgotten } = cacheOf(candidates);
  {
    await using destination = await destinationAt(access, registry, 'app:v1');
    const found = await destination.tryReusingBlobWithOptions(info, { cache, canSubstitute: true });
    assert.ok(found.reused);
    assert.deepEqual([found.digest, found.size, found.mountedFrom], [substitute.digest, 700, 'base']);
  }
  assert.deepEqual(forgotten, [`gone ${substitute.digest}`]);
  assert.deepEqual(registry.blob('app', substitute.digest), gzipped);
  assert.equal(registry.sessions.length, 0);
});
