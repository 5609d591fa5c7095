import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { MediaType } from '../../../src/manifest/media-types.ts';
import { NO_CREDENTIALS } from '../../../src/auth/credential-search.ts';
import { noCache } from '../../../src/cache/no-cache.ts';
import { ContentMismatchError, digestOf, type Digest } from '../../../src/digest/digest.ts';
import { parseRegistryReference } from '../../../src/reference/registry-reference.ts';
import { openRegistrySource } from '../../../src/transports/registry/registry-source.ts';
import type { BlobInfoCache, KnownLocation } from '../../../src/contract/blob-info-cache.ts';
import { buildImage, buildIndex, randomBytes } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { infoOf, endpointOf, openAccess, sourceAt } from '../../support/registry-transport.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const index = buildIndex({ images: [{ image }] });
const blob = randomBytes('source', 100_000);
const info = infoOf(blob);
const login = { kind: 'basic', username: 'anna', password: 'secret' } as const;

test('reads a manifest by tag, by digest, and an instance by its digest', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  await using access = openAccess();
  for (const name of ['app:v1', `app@${index.manifest.digest}`]) {
    const source = await sourceAt(access, registry, name);
    assert.deepEqual(await source.getManifest(), index.manifest);
    assert.deepEqual(await source.getManifest({ instanceDigest: image.manifest.digest }), image.manifest);
    assert.equal(source.reference, `docker://${registry.host}/${name}`);
  }
});

test('reads what another tag of the repository names, whatever the source itself is', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.seed('app', 'signed', index);
  await using access = openAccess();
  for (const name of ['app:v1', `app@${image.manifest.digest}`]) {
    registry.reset();
    const source = await sourceAt(access, registry, name);
    assert.deepEqual(await source.getManifest({ tag: 'signed' }), index.manifest);
    assert.deepEqual(await source.getManifest({ tag: 'signed' }), index.manifest);
    assert.deepEqual(await source.getManifest(), image.manifest);
    assert.equal(registry.count({ path: /manifests\/signed/ }), 1);
    await assert.rejects(source.getManifest({ tag: 'missing' }), { kind: 'not-found', side: 'source' });
  }
});

test('asks once for each manifest, however many want it, and again after a failure', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  await assert.rejects(source.getManifest(), { kind: 'not-found', side: 'source' });
  registry.seed('app', 'v1', image);
  registry.reset();
  await Promise.all([source.getManifest(), source.getManifest()]);
  await source.getManifest();
  assert.equal(registry.count(), 1);
});

test('refuses a manifest that is not the one it was asked for by digest', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', index);
  registry.behave({ wrongBytes: true });
  await using access = openAccess();
  const source = await sourceAt(access, registry, `app@${index.manifest.digest}`);
  await assert.rejects(source.getManifest(), { kind: 'integrity' });
  registry.behaveWell();
  registry.behave({ status: 200, body: image.manifest.bytes.toString() });
  await assert.rejects(source.getManifest(), (error) => {
    assert.ok(error instanceof ContentMismatchError);
    assert.deepEqual([error.expected, error.found], [index.manifest.digest, image.manifest.digest]);
    return true;
  });
});

test('trusts what a manifest says of its type before the Content-Type', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  registry.behave({ headers: { 'content-type': 'text/plain' } });
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  assert.deepEqual(await source.getManifest(), image.manifest);
});

test('learns the digest by HEAD, and without a request where it is named', async () => {
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  await using access = openAccess();
  const { digest } = image.manifest;
  const tagged = await sourceAt(access, registry, 'app:v1');
  assert.equal(await tagged.getManifestDigest(), digest);
  assert.deepEqual(
    registry.requests.map(({ method }) => method),
    ['HEAD'],
  );
  assert.equal(await (await sourceAt(access, registry, `app@${digest}`)).getManifestDigest(), digest);
  assert.equal(registry.count(), 1);
  registry.settings.headDigestHeader = false;
  assert.equal(await tagged.getManifestDigest(), undefined);
  registry.behave({ status: 405 });
  assert.equal(await tagged.getManifestDigest(), undefined);
});

test('says of Docker Hub alone that reading a manifest is metered', async () => {
  await using access = openAccess();
  const cases = { alpine: true, 'ghcr.io/team/app': false };
  for (const [name, isMetered] of Object.entries(cases)) {
    const reference = parseRegistryReference(name, name);
    assert.equal((await openRegistrySource(access, reference, endpointOf(reference))).metersManifestReads, isMetered);
  }
});

test('streams a blob, and says how long it will be', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  const { stream, size } = await source.getBlob(info);
  assert.equal(size, blob.length);
  assert.deepEqual(await buffer(stream), blob);
  assert.equal(await source.getBlobSize(info.digest), blob.length);
});

test('refuses a blob of another size before it is read', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob.subarray(1), info.digest);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  await assert.rejects(source.getBlob(info), { code: 'ERR_CONTENT_MISMATCH', expected: '100000 bytes' });
});

test('says that a blob is missing, or its size unknown', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  await assert.rejects(source.getBlobSize(info.digest), { code: 'ERR_BLOB_NOT_FOUND', kind: 'not-found' });
  registry.seedBlob('app', blob);
  registry.behave({ match: { method: 'HEAD' }, headers: { 'content-length': undefined } });
  await assert.rejects(source.getBlobSize(info.digest), { code: 'ERR_BLOB_SIZE', side: 'source' });
});

test('asks for the size of a blob by GET where HEAD is not answered', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  registry.behave({ match: { method: 'HEAD' }, status: 405 });
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  assert.equal(await source.getBlobSize(info.digest), blob.length);
  await assert.rejects(source.getBlobSize(digestOf(Buffer.from('other'))), { kind: 'not-found' });
});

test('takes no credentials along when a blob is redirected to storage (behaviour 44)', async () => {
  await using registry = await startRegistry({ redirectBlobs: true, auth: login });
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1', {
    credentials: { ...NO_CREDENTIALS, credentials: login },
  });
  assert.deepEqual(await buffer((await source.getBlob(info)).stream), blob);
  const stored = registry.requests.at(-1);
  assert.deepEqual([stored?.server, stored?.authorization], ['storage', false]);
  assert.equal(stored?.headers['accept-encoding'], 'identity');
});

test('fetches a foreign layer from its own URL, without credentials (behaviour 32)', async () => {
  await using registry = await startRegistry({ auth: login });
  await using elsewhere = await startRegistry({ auth: { ...login, anonymousPull: true } });
  elsewhere.seedBlob('layers', blob);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1', {
    credentials: { ...NO_CREDENTIALS, credentials: login },
  });
  const known: string[] = [];
  const urls = [
    'ftp://other.test/x',
    `${elsewhere.url}/v2/none`,
    `${elsewhere.url}/v2/layers/blobs/${info.digest}?x='1'`,
  ];
  const { stream } = await source.getBlob(
    { ...info, mediaType: MediaType.ociForeignLayer, urls },
    { cache: cacheNoting(known) },
  );
  assert.deepEqual(await buffer(stream), blob);
  assert.equal(registry.count(), 0);
  assert.ok(elsewhere.requests.at(-1)?.path.endsWith("?x='1'"), 'as it is in the manifest');
  assert.ok(elsewhere.requests.every(({ authorization }) => !authorization));
  assert.deepEqual(known, [], 'it is not in the repository');
});

test('takes a foreign layer from the registry when no URL of it answers', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('app', blob);
  await using access = openAccess();
  const source = await sourceAt(access, registry, 'app:v1');
  const known: string[] = [];
  const urls = [`${registry.url}/gone`, 'no URL at all'];
  const { stream } = await source.getBlob(
    { ...info, mediaType: MediaType.ociForeignLayer, urls },
    { cache: cacheNoting(known) },
  );
  assert.deepEqual(await buffer(stream), blob);
  assert.deepEqual(known, [`${registry.host}/app ${info.digest}`]);
});

test('hashes as the digest of the reference says, sha512 too', async () => {
  await using registry = await startRegistry();
  const { bytes, mediaType } = image.manifest;
  registry.behave({ status: 200, body: bytes.toString(), headers: { 'content-type': mediaType } });
  await using access = openAccess();
  const digest = digestOf(bytes, 'sha512');
  assert.equal((await (await sourceAt(access, registry, `app@${digest}`)).getManifest()).digest, digest);
});

/** A cache that notes where blobs are said to be. */
function cacheNoting(known: string[]): BlobInfoCache {
  return {
    ...noCache(),
    recordKnownLocation: (digest: Digest, { registry, repository }: KnownLocation) =>
      void known.push(`${registry}/${repository} ${digest}`),
  };
}
