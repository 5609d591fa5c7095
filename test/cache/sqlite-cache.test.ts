import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { openMemoryCache } from '../../src/cache/sqlite-cache.ts';
import type { BlobInfoCache, KnownLocation } from '../../src/contract/blob-info-cache.ts';
import { digestNamed, openCache, scratchUser } from './scratch.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const gzip = digestNamed('layer.tar.gz');
const zstd = digestNamed('layer.tar.zst');
const tar = digestNamed('layer.tar');
const app: KnownLocation = { registry: 'registry.test', repository: 'app' };
const base: KnownLocation = { registry: 'registry.test', repository: 'base' };

function repositoriesOf(cache: BlobInfoCache): readonly (string | undefined)[] {
  return cache
    .candidateLocations2('registry.test', gzip, { canSubstitute: false })
    .map((at) => at.location?.repository);
}

for (const [kind, open] of [
  ['in a file', async (t: TestContext): Promise<BlobInfoCache> => openCache(await scratchUser(t))],
  ['in memory', (): Promise<BlobInfoCache> => openMemoryCache()],
] as const) {
  test(`a cache ${kind} tells at once what was recorded`, async (t) => {
    using cache = await open(t);
    cache.recordDigestUncompressedPair(gzip, tar);
    cache.recordDigestUncompressedPair(zstd, tar);
    assert.deepEqual(
      [gzip, tar, digestNamed('other')].map((digest) => cache.uncompressedDigest(digest)),
      [tar, tar, undefined],
    );

    cache.recordCompressor(zstd, 'zstd:chunked');
    cache.recordCompressor(zstd, 'zstd');
    assert.equal(cache.compressor(zstd), 'zstd:chunked', 'a variant stays when its base is recorded');
    assert.equal(cache.compressor(gzip), undefined);

    cache.recordKnownLocation(zstd, app);
    assert.deepEqual(cache.candidateLocations2('registry.test', gzip, { canSubstitute: true }), [
      { digest: zstd, location: app, compression: 'zstd:chunked' },
    ]);
    assert.deepEqual(cache.candidateLocations2('elsewhere.test', gzip, { canSubstitute: true }), [
      { digest: zstd, location: undefined, compression: 'zstd:chunked' },
    ]);

    const chunked = { digest: zstd, size: 1000, format: 'zstd:chunked' } as const;
    cache.recordChunkedBlob(chunked);
    assert.deepEqual(cache.chunkedBlobs(app, 10), [chunked]);
    assert.deepEqual(cache.chunkedBlobs(base, 10), []);

    cache.recordHostAbility('registry.test', 'multi-range', 0);
    assert.equal(cache.hostAbility('registry.test', 'multi-range'), 0);
    assert.equal(cache.hostAbility('registry.test', 'ranges'), undefined);
  });
}

test('what one run recorded, a later one knows', async (t) => {
  const user = await scratchUser(t);
  {
    using cache = await openCache(user);
    cache.recordKnownLocation(gzip, app);
    cache.recordCompressor(gzip, 'estargz');
    cache.recordDigestUncompressedPair(gzip, tar);
    cache.recordChunkedBlob({ digest: gzip, size: 1000, format: 'estargz' });
    cache.recordHostAbility('registry.test', 'ranges', 1);
  }
  using cache = await openCache(user);
  assert.deepEqual(cache.candidateLocations2('registry.test', gzip, { canSubstitute: false }), [
    { digest: gzip, location: app, compression: 'estargz' },
  ]);
  assert.equal(cache.uncompressedDigest(gzip), tar);
  assert.equal(cache.chunkedBlobs(app, 1).length, 1);
  assert.equal(cache.hostAbility('registry.test', 'ranges'), 1);
});

test('the file and its directory are for the owner only', async (t) => {
  const user = await scratchUser(t);
  using cache = await openCache(user);
  cache.recordKnownLocation(gzip, app);
  assert.equal(statSync(user.cachePath).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(user.cachePath)).mode & 0o777, 0o700);
});

test('what is recorded again replaces what was stored', async (t) => {
  const user = await scratchUser(t);
  let now = 1_000_000_000_000;
  for (const location of [app, base]) {
    using cache = await openCache(user, () => now++);
    cache.recordKnownLocation(gzip, location);
    cache.recordHostAbility('registry.test', 'multi-range', now);
  }
  using cache = await openCache(user, () => now++);
  assert.deepEqual(repositoriesOf(cache), ['base', 'app']);
  cache.recordKnownLocation(gzip, app);
  cache.recordHostAbility('registry.test', 'multi-range', 7);
  assert.deepEqual(repositoriesOf(cache), ['app', 'base']);
  assert.equal(cache.hostAbility('registry.test', 'multi-range'), 7);
});

test('a location that was a miss is gone, stored or not (behaviour 71)', async (t) => {
  const user = await scratchUser(t);
  {
    using cache = await openCache(user);
    cache.recordKnownLocation(gzip, app);
    cache.recordKnownLocation(gzip, base);
  }
  {
    using cache = await openCache(user);
    cache.forgetKnownLocation(gzip, app);
    cache.recordKnownLocation(zstd, app);
    cache.forgetKnownLocation(zstd, app);
    assert.deepEqual(repositoriesOf(cache), ['base']);
    assert.deepEqual(cache.candidateLocations2('registry.test', zstd, { canSubstitute: false }), []);
  }
  using cache = await openCache(user);
  assert.deepEqual(repositoriesOf(cache), ['base']);
});

test('locations expire after thirty days and abilities after seven (behaviour 71)', async (t) => {
  const user = await scratchUser(t);
  let now = Date.UTC(2026, 0, 1);
  using cache = await openCache(user, () => now);
  cache.recordKnownLocation(gzip, app);
  cache.recordChunkedBlob({ digest: gzip, size: 10, format: 'estargz' });
  cache.recordHostAbility('registry.test', 'ranges', 1);
  now += 7 * DAY_MS - 1;
  assert.equal(cache.hostAbility('registry.test', 'ranges'), 1);
  now += 1;
  assert.equal(cache.hostAbility('registry.test', 'ranges'), undefined);
  now += 23 * DAY_MS - 1;
  assert.deepEqual(repositoriesOf(cache), ['app']);
  now += 1;
  assert.deepEqual(repositoriesOf(cache), []);
  assert.deepEqual(cache.chunkedBlobs(app, 10), []);
});

test('expired rows leave the file once a day', async (t) => {
  const user = await scratchUser(t);
  let now = Date.UTC(2026, 0, 1);
  const run = async (digest: typeof gzip): Promise<number> => {
    {
      using cache = await openCache(user, () => now);
      cache.recordKnownLocation(digest, app);
    }
    using file = new DatabaseSync(user.cachePath);
    return Number(file.prepare('SELECT count(*) AS count FROM known_locations').get()?.['count']);
  };
  assert.equal(await run(gzip), 1);
  now += 29.5 * DAY_MS;
  assert.equal(await run(zstd), 2);
  now += 0.5 * DAY_MS;
  assert.equal(await run(zstd), 2, 'expired, but it was looked for half a day ago');
  now += 0.5 * DAY_MS;
  assert.equal(await run(zstd), 1);
});

test('records of a moment are stored together, a little later', async (t) => {
  const user = await scratchUser(t);
  using cache = await openCache(user);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using file = new DatabaseSync(user.cachePath);
  const count = file.prepare('SELECT count(*) AS count FROM known_locations');
  for (let index = 0; index < 500; index++) {
    cache.recordKnownLocation(digestNamed(`layer ${index}`), app);
    assert.equal(
      cache.candidateLocations2('registry.test', digestNamed(`layer ${index}`), { canSubstitute: true }).length,
      1,
    );
  }
  assert.equal(count.get()?.['count'], 0);
  t.mock.timers.tick(200);
  assert.equal(count.get()?.['count'], 500);
});

test('chunked blobs of a repository come newest first, as many as asked for', async (t) => {
  const user = await scratchUser(t);
  let now = 1_000_000_000_000;
  using cache = await openCache(user, () => now++);
  const names = ['one', 'two', 'three'];
  for (const name of names) {
    cache.recordChunkedBlob({ digest: digestNamed(name), size: 100, format: 'estargz' });
    cache.recordKnownLocation(digestNamed(name), app);
    cache.recordKnownLocation(digestNamed(`${name}, not chunked`), app);
  }
  assert.deepEqual(
    cache.chunkedBlobs(app, 2).map(({ digest }) => digest),
    [digestNamed('three'), digestNamed('two')],
  );
});

test('what cannot be a fact is neither kept nor complained of', async (t) => {
  using cache = await openCache(await scratchUser(t));
  cache.recordHostAbility('registry.test', 'multi-range', Number.NaN);
  cache.recordChunkedBlob({ digest: gzip, size: 1.5, format: 'estargz' });
  cache.recordKnownLocation(gzip, app);
  assert.equal(cache.hostAbility('registry.test', 'multi-range'), undefined);
  assert.deepEqual(cache.chunkedBlobs(app, 10), []);
});

test('rows that are not what was written are passed over', async (t) => {
  const user = await scratchUser(t);
  (await openCache(user))[Symbol.dispose]();
  {
    using file = new DatabaseSync(user.cachePath);
    file.exec(`INSERT INTO uncompressed_pairs VALUES ('${gzip}', '../../etc/passwd'), ('sha256:short', '${tar}');
      INSERT INTO compressors VALUES ('${gzip}', 'brotli');
      INSERT INTO chunked_blobs VALUES ('${gzip}', 100, 'zip'), ('${zstd}', 0, 'estargz');
      INSERT INTO known_locations VALUES ('registry.test', '${gzip}', 'app', ${Date.now()}), ('registry.test', '${zstd}', 'app', ${Date.now()})`);
  }
  using cache = await openCache(user);
  assert.equal(cache.uncompressedDigest(gzip), undefined);
  assert.equal(cache.compressor(gzip), undefined);
  assert.deepEqual(cache.chunkedBlobs(app, 10), []);
  assert.deepEqual(cache.candidateLocations2('registry.test', tar, { canSubstitute: true }), []);
});

test('a cache that was disposed of is a miss', async (t) => {
  const cache = await openCache(await scratchUser(t));
  cache[Symbol.dispose]();
  cache[Symbol.dispose]();
  cache.recordKnownLocation(gzip, app);
  cache.forgetKnownLocation(gzip, app);
  assert.deepEqual(repositoriesOf(cache), []);
});
