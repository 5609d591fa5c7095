import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { CopyOptions, CopyResult } from '../../src/index.ts';
import { parseReferrersIndex, referrersTag } from '../../src/manifest/referrers-index.ts';
import { parsePlatform } from '../../src/manifest/platform.ts';
import { buildArtifact, buildImage, type TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import {
  BUNDLE,
  cosignTag,
  images,
  index,
  NOTATION,
  notationOf,
  referrers,
  SBOM,
  seedReferrersTag,
  seedSigned,
  tagged,
} from './signed-image.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const [amd64, arm64] = images as [TestImage, TestImage];
const all = Object.values(referrers);
/** A registry may have a referrers API, or not: distribution has none. */
const APIS = [true, false];

interface Ends {
  readonly from: TestRegistry;
  readonly to: TestRegistry;
  readonly copier: TestCopier;
  readonly copy: (options?: CopyOptions, name?: string) => Promise<CopyResult>;
}

/** A source with the signed index, and an empty destination. */
async function openEnds(
  t: TestContext,
  { source = true, destination = true }: { source?: boolean; destination?: boolean } = {},
): Promise<Ends> {
  const from = await startRegistry({ referrers: source });
  const to = await startRegistry({ referrers: destination });
  const copier = new TestCopier(await openHome(t));
  t.after(async () => {
    await copier[Symbol.asyncDispose]();
    await Promise.all([from.close(), to.close()]);
  });
  const copy: Ends['copy'] = (options = {}, name = 'app:v1') =>
    copier.copy(at(from, name), at(to, 'copy:v1'), { referrers: true, ...options });
  return { from, to, copier, copy };
}

function has(registry: TestRegistry, image: TestImage): boolean {
  const { manifest, blobs } = image;
  return (
    registry.manifest('copy', manifest.digest)?.bytes.equals(manifest.bytes) === true &&
    [...blobs.keys()].every((digest) => registry.blob('copy', digest) !== undefined)
  );
}

/** What is there, by what it is. */
function named(registry: TestRegistry): readonly string[] {
  const tags = Object.entries(tagged).filter(
    ([tag, { manifest }]) => registry.manifest('copy', tag)?.digest === manifest.digest,
  );
  const byDigest = Object.entries(referrers).filter(([, image]) => has(registry, image));
  return [...byDigest, ...tags].map(([name]) => name);
}

for (const source of APIS) {
  for (const destination of APIS) {
    test(`all that refers to an image comes along, ${source ? 'with' : 'without'} an API to ${destination ? 'one with' : 'one without'}`, async (t) => {
      const { from, to, copy } = await openEnds(t, { source, destination });
      seedSigned(from);
      const result = await copy();
      assert.deepEqual(named(to), [...Object.keys(referrers), ...Object.keys(tagged)]);
      assert.deepEqual(result.referrers, { total: 8, copied: 8, missing: 0 });
      assert.deepEqual(to.manifest('copy', 'v1'), index.manifest);
      if (destination) return;
      for (const { manifest } of all) {
        const { subject } = JSON.parse(String(manifest.bytes)) as { subject: { digest: `sha256:${string}` } };
        const tag = to.manifest('copy', referrersTag(subject.digest));
        const listed = tag && parseReferrersIndex(tag.bytes)?.manifests;
        assert.deepEqual(
          listed?.map(({ digest }) => digest),
          [manifest.digest],
        );
      }
    });
  }
}

test('a second run writes nothing, and reads no manifest of what is there', async (t) => {
  for (const destination of APIS) {
    const { from, to, copy } = await openEnds(t, { destination });
    seedSigned(from);
    await copy();
    from.reset();
    to.reset();
    const again = await copy();
    assert.equal(again.skipped, 'same');
    assert.deepEqual(again.referrers, { total: 8, copied: 0, missing: 0 });
    assert.deepEqual([to.count({ method: 'PUT' }), to.count({ method: 'POST' })], [0, 0]);
    assert.equal(from.count({ path: /manifests\/sha256:/ }), 0);
  }
});

test('what was signed since comes along although the image is there', async (t) => {
  const { from, to, copy } = await openEnds(t, { destination: false });
  from.seed('app', 'v1', index);
  await copy();
  seedSigned(from);
  const result = await copy();
  assert.deepEqual([result.skipped, result.referrers], ['same', { total: 8, copied: 8, missing: 0 }]);
  assert.equal(named(to).length, 8);
});

test('without the option nothing is asked for, and nothing comes along', async (t) => {
  const { from, to, copy } = await openEnds(t);
  seedSigned(from);
  await copy({ referrers: false });
  assert.deepEqual(named(to), []);
  assert.equal(from.count({ path: /referrers|tags\/list|manifests\/sha256-/ }), 0);
  assert.equal(to.count({ path: /referrers|manifests\/sha256-/ }), 0);
});

test('finds what there is in few requests', async (t) => {
  const { from, copy } = await openEnds(t);
  seedSigned(from);
  await copy();
  const subjects = 3 + all.length + Object.keys(tagged).length;
  assert.equal(from.count({ path: /\/referrers\// }), subjects);
  assert.equal(from.count({ path: /\/tags\/list/ }), 1);
  assert.equal(from.count({ path: /manifests\/sha256-/ }), Object.keys(tagged).length);
});

test('finds what there is without a referrers API by one list of tags', async (t) => {
  const { from, copy } = await openEnds(t, { source: false });
  seedSigned(from);
  await copy();
  assert.equal(from.count({ path: /\/referrers\// }), 1);
  assert.equal(from.count({ path: /\/tags\/list/ }), 1);
  assert.equal(from.count({ path: /manifests\/sha256-/ }), Object.keys(tagged).length + all.length);
});

test('asks for tags by their names where the list of tags is long, or refused', async (t) => {
  for (const isLong of [true, false]) {
    const { from, to, copy } = await openEnds(t, { source: false });
    seedSigned(from);
    if (isLong) for (let number = 0; number < 5000; number += 1) from.seed('app', `a${number}`, index);
    else from.behave({ match: { path: /tags\/list/ }, status: 403 });
    await copy();
    assert.equal(named(to).length, 8);
    // 11 manifests, with 4 names each, are worth a few pages.
    assert.ok(from.count({ path: /tags\/list/ }) <= 4);
  }
});

test('copies the types that are wanted, and what refers to these', async (t) => {
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [[SBOM], ['an SBOM of an instance']],
    [['*notary*'], ['a signature on the index']],
    [
      [SBOM.toUpperCase(), NOTATION],
      ['a signature on the index', 'an SBOM of an instance', 'a signature on the SBOM'],
    ],
    [['sig'], [cosignTag(index.manifest.digest, 'sig')]],
    [
      ['s?om', 'att'],
      [cosignTag(amd64.manifest.digest, 'att'), cosignTag(arm64.manifest.digest, 'sbom')],
    ],
    [['application/vnd.dev.sigstore.bundle.*'], ['a bundle of the other instance']],
    [['none'], []],
  ];
  for (const [referrerTypes, expected] of cases) {
    for (const source of APIS) {
      const { from, to, copy } = await openEnds(t, { source });
      seedSigned(from);
      const result = await copy({ referrers: undefined, referrerTypes });
      assert.deepEqual(named(to), expected, referrerTypes.join());
      assert.equal(result.referrers?.total, expected.length);
    }
  }
});

test('asks the registry for one type, and checks what it lists', async (t) => {
  for (const referrersFilter of [true, false]) {
    const { from, to, copy } = await openEnds(t);
    from.settings.referrersFilter = referrersFilter;
    seedSigned(from);
    await copy({ referrerTypes: [BUNDLE] });
    assert.deepEqual(named(to), ['a bundle of the other instance']);
    assert.ok(from.select({ path: /\/referrers\// }).every(({ path }) => path.includes(encodeURIComponent(BUNDLE))));
  }
});

test('with a platform, what refers to the index stays behind, and a warning says so', async (t) => {
  const { from, to, copier, copy } = await openEnds(t);
  seedSigned(from);
  await copy({ platforms: [parsePlatform('linux/amd64')] });
  const sbom = referrers['an SBOM of an instance'].manifest.digest;
  assert.deepEqual(named(to), [
    'an SBOM of an instance',
    'a signature on the SBOM',
    cosignTag(amd64.manifest.digest, 'att'),
    cosignTag(sbom, 'sig'),
  ]);
  const told = copier.reported.filter((message) => message.includes('does not come along'));
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', new RegExp(`whole index ${index.manifest.digest} .*${NOTATION}, sig`));
});

test('a sparse index keeps what refers to it, and to the instances that are copied', async (t) => {
  const { from, to, copy } = await openEnds(t);
  to.settings.sparseIndex = true;
  seedSigned(from);
  await copy({ platforms: ['linux/amd64', 'linux/amd64'].map(parsePlatform), sparse: true });
  assert.ok(named(to).includes('a signature on the index'));
  assert.ok(!named(to).includes('a bundle of the other instance'));
});

test('writes what is referred to first, and referrers tags last', async (t) => {
  const { from, to, copy } = await openEnds(t, { destination: false });
  seedSigned(from);
  await copy();
  const written = to.select({ method: 'PUT', path: /manifests/ }).map(({ path }) => path.replace(/^.*\//, ''));
  const position = (name: string): number => written.indexOf(name);
  const sbom = referrers['an SBOM of an instance'].manifest.digest;
  const signature = referrers['a signature on the SBOM'].manifest.digest;
  assert.ok(position(amd64.manifest.digest) < position('v1'));
  assert.ok(position('v1') < position(sbom));
  assert.ok(position(sbom) < position(signature));
  const lists = [amd64, index, { manifest: { digest: sbom } }].map(({ manifest }) =>
    position(referrersTag(manifest.digest)),
  );
  assert.ok(
    lists.every((list) => list > position(signature)),
    written.join('\n'),
  );
});

test('10,000 referrers in pages are found, and those of one type copied', async (t) => {
  const { from, to, copy } = await openEnds(t);
  from.settings.referrersPage = 1000;
  from.settings.referrersFilter = false;
  const image = buildImage({ layers: { count: 1, size: 100 } });
  from.seed('app', 'v1', image);
  const subject = image.manifest;
  for (let number = 0; number < 10_000; number += 1) {
    const artifactType = number % 1000 === 0 ? 'rare' : 'common';
    from.seed(
      'app',
      undefined,
      buildArtifact({ artifactType, files: {}, subject, annotations: { number: `${number}` } }),
    );
  }
  const result = await copy({ referrerTypes: ['rare'] });
  assert.deepEqual(result.referrers, { total: 10, copied: 10, missing: 0 });
  assert.equal(from.count({ path: new RegExp(`/referrers/${subject.digest}`) }), 10);
  assert.equal(to.count({ method: 'PUT', path: /manifests\/sha256:/ }), 10);
});

test('pages that lead to each other end', async (t) => {
  const { from, to, copy } = await openEnds(t);
  seedSigned(from);
  const path = `/v2/app/referrers/${index.manifest.digest}`;
  from.behave({ match: { path: new RegExp(`${path}$`) }, headers: { link: `<${path}?page=1>; rel="next"` } });
  await copy();
  assert.equal(named(to).length, 8);
});

test('referrers in a circle are copied once', async (t) => {
  const { from, to, copy } = await openEnds(t, { source: false, destination: false });
  seedSigned(from);
  const [first, second] = [notationOf(index.manifest, 'first'), notationOf(index.manifest, 'second')];
  for (const image of [first, second]) from.seed('app', undefined, image);
  seedReferrersTag(from, [first]);
  // Only lists that lie have a circle.
  seedReferrersTag(from, [first, second, index], first.manifest.digest);
  seedReferrersTag(from, [first], second.manifest.digest);
  await copy();
  assert.ok(has(to, first));
  assert.equal(to.count({ method: 'PUT', path: new RegExp(first.manifest.digest) }), 1);
});

test('a referrers tag that is no index of referrers is left alone, with a warning', async (t) => {
  const { from, to, copier, copy } = await openEnds(t, { source: false });
  seedSigned(from);
  from.seed('app', referrersTag(index.manifest.digest), amd64);
  const result = await copy();
  assert.equal(result.referrers?.total, 7);
  assert.match(copier.warnings.join('\n'), new RegExp(`tag ${referrersTag(index.manifest.digest)} is not an index`));
  assert.ok(!named(to).includes('a signature on the index'));
});

test('the subject itself, as GitLab answers for the tag, is not a list of referrers', async (t) => {
  const { from, copier, copy } = await openEnds(t, { source: false });
  from.seed('app', 'v1', index);
  from.seed('app', referrersTag(index.manifest.digest), index);
  assert.equal((await copy()).referrers?.total, 0);
  assert.deepEqual(copier.warnings, []);
});

test('what a list names and is not there is reported, and all else comes along', async (t) => {
  const { from, to, copier, copy } = await openEnds(t, { source: false });
  seedSigned(from);
  const gone = referrers['an SBOM of an instance'];
  from.remove('app', gone.manifest.digest);
  const result = await copy();
  // What refers to the missing SBOM by a subject or a tag stays behind with it.
  assert.deepEqual(result.referrers, { total: 8, copied: 5, missing: 3 });
  assert.match(
    copier.reported.join('\n'),
    new RegExp(`${gone.manifest.digest}, which refers to ${amd64.manifest.digest}, is not at the source`),
  );
  assert.equal(named(to).length, 5);
});

test('what is listed and refers to something else is reported, and not copied', async (t) => {
  const { from, to, copier, copy } = await openEnds(t, { source: false });
  from.seed('app', 'v1', index);
  const other = notationOf(amd64.manifest, 'other');
  from.seed('app', undefined, other);
  seedReferrersTag(from, [other], index.manifest.digest);
  assert.deepEqual((await copy()).referrers, { total: 1, copied: 0, missing: 1 });
  assert.match(copier.reported.join('\n'), /is listed as a referrer of sha256:\w+, and is none/);
  assert.ok(!has(to, other));
});

test('a referrer that vanishes in the middle of the copy is reported', async (t) => {
  const { from, to, copier, copy } = await openEnds(t);
  seedSigned(from);
  const { manifest, blobs } = referrers['a bundle of the other instance'];
  const [, layer = manifest.digest] = [...blobs.keys()];
  from.behave({ match: { method: 'GET', path: new RegExp(manifest.digest) }, call: () => from.remove('app', layer) });
  from.remove('app', referrers['a signature on the SBOM'].manifest.digest);
  const result = await copy();
  assert.equal(result.referrers?.missing, 1);
  assert.match(
    copier.reported.join('\n'),
    new RegExp(`${manifest.digest}, which refers to .*, is not at the source any more`),
  );
  assert.ok(!has(to, referrers['a bundle of the other instance']));
});

test('a referrer without one of its blobs is reported, and all else comes along', async (t) => {
  const { from, to, copier, copy } = await openEnds(t);
  seedSigned(from);
  const broken = notationOf(amd64.manifest, 'without its blob');
  from.seed('app', undefined, broken);
  const [blob = ''] = [...broken.blobs].find(([, bytes]) => bytes.includes('without its blob')) ?? [];
  from.behave({ match: { path: new RegExp(blob) }, status: 404 });
  const result = await copy();
  assert.deepEqual(result.referrers, { total: 9, copied: 8, missing: 1 });
  assert.match(
    copier.reported.join('\n'),
    new RegExp(`${broken.manifest.digest}, which refers to .*, is not at the source any more: .*${blob}`),
  );
  assert.ok(!has(to, broken));
});

test('a failure of the destination is not taken for a referrer that is gone', async (t) => {
  const { from, to, copy } = await openEnds(t);
  seedSigned(from);
  const { digest } = referrers['an SBOM of an instance'].manifest;
  to.behave({ match: { method: 'PUT', path: new RegExp(digest) }, status: 404 });
  await assert.rejects(copy(), { code: 'ERR_NOT_FOUND', side: 'destination' });
});

test('-n leaves tags of cosign that exist, and says so; else they are overwritten', async (t) => {
  const { from, to, copier, copy } = await openEnds(t);
  seedSigned(from);
  const tag = cosignTag(index.manifest.digest, 'sig');
  to.seed('copy', tag, amd64);
  await copy({ noClobber: true });
  assert.equal(to.manifest('copy', tag)?.digest, amd64.manifest.digest);
  assert.match(copier.reported.join('\n'), new RegExp(`tag ${tag} exists with other content`));
  await copy();
  assert.equal(to.manifest('copy', tag)?.digest, tagged[tag]?.manifest.digest);
});

test('a directory cannot hold referrers, and an error names what can', async (t) => {
  const { from, copier } = await openEnds(t);
  seedSigned(from);
  const folder = await temporaryDirectory(t);
  await assert.rejects(copier.copy(at(from, 'app:v1'), `dir:${folder}/new`, { referrers: true }), {
    code: 'ERR_REFERRERS_UNSUPPORTED',
    kind: 'usage',
    side: 'destination',
    hint: /oci:PATH/,
  });
  await copier.copy(at(from, 'app:v1'), `dir:${folder}/image`);
  await assert.rejects(copier.copy(`dir:${folder}/image`, at(from, 'app:v2'), { referrers: true }), {
    code: 'ERR_REFERRERS_UNSUPPORTED',
    side: 'source',
  });
});

test('digests that something refers to are not substituted', async (t) => {
  const { from, copy } = await openEnds(t);
  seedSigned(from);
  await assert.rejects(copy({ substitute: true }), { code: 'ERR_SUBSTITUTION_REFUSED' });
});

test('answers of other servers count as no referrers API', async (t) => {
  const answers = [
    ...[400, 401, 403, 404, 405, 406, 501].map((status) => ({ status })),
    { status: 200, body: '<html></html>' },
    { status: 200, body: '' },
    { status: 200, body: '{}' },
  ];
  for (const answer of answers) {
    const { from, to, copy } = await openEnds(t, { source: false });
    seedSigned(from);
    from.behave({ match: { path: /\/referrers\// }, ...answer });
    await copy();
    assert.equal(named(to).length, 8, JSON.stringify(answer));
  }
});

test('a referrers API that fails ends the copy', async (t) => {
  const { from, copy } = await openEnds(t);
  seedSigned(from);
  from.behave({ match: { path: /\/referrers\// }, status: 500 });
  await assert.rejects(copy(), { code: 'ERR_REGISTRY_FAULT', side: 'source' });
});

test('a destination that fails to list its referrers ends the copy', async (t) => {
  const { from, to, copy } = await openEnds(t);
  seedSigned(from);
  const { digest } = referrers['an SBOM of an instance'].manifest;
  // The SBOM itself takes longer than all retries, so that what refers to it has to wait for it.
  const failed = Promise.withResolvers<void>();
  const path = new RegExp(`/referrers/${digest}`);
  to.behave({ match: { path }, status: 500, call: () => void (to.count({ path }) > 5 && failed.resolve()) });
  from.behave({ match: { path: new RegExp(`/manifests/${digest}`) }, hold: failed.promise });
  await assert.rejects(copy(), { code: 'ERR_REGISTRY_FAULT', side: 'destination' });
});
