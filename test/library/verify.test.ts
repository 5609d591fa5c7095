import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import {
  createCopier,
  type Copier,
  type CopierOptions,
  type VerifyOptions,
  type VerifyResult,
} from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { withForeignLayer } from '../support/layer-fields.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../support/registry.ts';
import { images, index, referrers, seedSigned, tagged } from './signed-image.ts';
import { at, openHome, type TestHome } from './test-copier.ts';

const run = promisify(execFile);
const [amd64, arm64] = images as [TestImage, TestImage];
const plainHttp = { plainHttp: true };

interface Stage {
  readonly home: TestHome;
  readonly registry: TestRegistry;
  readonly copier: Copier;
  /** Verifies an image of the registry. */
  readonly verify: (name: string, options?: VerifyOptions) => Promise<VerifyResult>;
}

async function openStage(t: TestContext, options: RegistryOptions & CopierOptions = {}): Promise<Stage> {
  const home = await openHome(t);
  const registry = await startRegistry(options);
  t.after(() => registry.close());
  const copier = createCopier({ env: home.env, retryDelayMs: 1, ...options });
  t.after(() => copier[Symbol.asyncDispose]());
  const verify = (name: string, asked: VerifyOptions = {}): Promise<VerifyResult> =>
    copier.verify(at(registry, name), { endpoint: plainHttp, ...asked });
  return { home, registry, copier, verify };
}

/** What a fault says, in short. */
function shortly({ faults }: VerifyResult): readonly string[] {
  return faults.map(({ kind, part, digest }) => `${kind} ${part} ${digest}`).toSorted();
}

function layerOf(image: TestImage): Digest {
  const { layers } = JSON.parse(String(image.manifest.bytes)) as { layers: readonly { digest: Digest }[] };
  return layers[0]?.digest ?? assert.fail('no layer');
}

const GET_BLOB = { method: 'GET', path: /\/blobs\// };
const HEAD_BLOB = { method: 'HEAD', path: /\/blobs\// };

describe('an image in a registry', { concurrency: 2 }, () => {
  test('is whole: one GET a manifest, one HEAD a blob, and no layer is read', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    const { faults, ...found } = await verify('app:v1');
    assert.deepEqual(faults, []);
    const blobs = [...index.blobs.values()];
    assert.deepEqual(found, {
      reference: at(registry, 'app:v1'),
      digest: index.manifest.digest,
      mediaType: index.manifest.mediaType,
      manifests: 3,
      blobs: blobs.length,
      bytes: blobs.reduce((sum, { length }) => sum + length, 0),
      foreign: 0,
      isHashed: false,
    });
    assert.equal(registry.count({ method: 'GET', path: /\/manifests\// }), 3);
    assert.equal(registry.count(HEAD_BLOB), blobs.length);
    assert.equal(registry.count({ path: /\/v2\/app/ }), 3 + blobs.length);
  });

  test('lacks a layer, an instance, and has a layer of another size: all are told', async (t) => {
    const { registry, verify } = await openStage(t);
    const third = buildImage({ layers: [randomBytes('third', 500)] });
    const three = buildIndex({
      images: [amd64, arm64, third].map((image, position) => ({
        image,
        platform: { os: 'linux', architecture: ['amd64', 'arm64', 's390x'][position] ?? '' },
      })),
    });
    registry.seed('app', 'v1', three);
    registry.remove('app', layerOf(amd64));
    registry.remove('app', arm64.manifest.digest);
    registry.seedBlob('app', Buffer.from('short'), layerOf(third));
    const result = await verify('app:v1');
    assert.deepEqual(shortly(result), [
      `missing layer ${layerOf(amd64)}`,
      `missing manifest ${arm64.manifest.digest}`,
      `wrong layer ${layerOf(third)}`,
    ]);
    const wrong = result.faults.find(({ kind }) => kind === 'wrong');
    assert.match(wrong?.message ?? '', /expected 500 bytes, found 5 bytes/);
    assert.equal(wrong?.namedBy, third.manifest.digest);
    assert.deepEqual(wrong?.platform, { os: 'linux', architecture: 's390x' });
    assert.deepEqual([result.manifests, result.blobs], [3, 4]);
  });

  test('a blob that several images name is looked at once', async (t) => {
    const { registry, verify } = await openStage(t);
    const shared = randomBytes('shared', 100);
    const two = ['amd64', 'arm64'].map((architecture) => ({
      image: buildImage({ layers: [shared], platform: { os: 'linux', architecture } }),
    }));
    registry.seed('app', 'v1', buildIndex({ images: two }));
    assert.equal((await verify('app:v1')).blobs, 3);
    assert.equal(registry.count(HEAD_BLOB), 3);
  });

  test('one platform of it alone', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    registry.remove('app', arm64.manifest.digest);
    const result = await verify('app:v1', { platform: { os: 'linux', architecture: 'amd64' } });
    assert.deepEqual([result.digest, result.manifests, result.faults], [amd64.manifest.digest, 1, []]);
  });

  test('is not there: that is an error, not a fault', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.create('app');
    await assert.rejects(verify('app:none'), { kind: 'not-found' });
  });

  test('is another one than the digest of its name: an error of integrity', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    registry.behave({ match: { path: /\/manifests\// }, wrongBytes: true });
    await assert.rejects(verify(`app@${index.manifest.digest}`), { kind: 'integrity' });
  });

  test('a registry that fails is no fault of the image', async (t) => {
    const { registry, verify } = await openStage(t, { retryTimes: 1 });
    registry.seed('app', 'v1', index);
    registry.behave({ match: { path: /\/blobs\// }, status: 500 });
    await assert.rejects(verify('app:v1'), { code: 'ERR_REGISTRY_FAULT', kind: 'failed' });
  });

  test('where blobs are not answered by HEAD, the head of a GET will do', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    registry.remove('app', layerOf(amd64));
    registry.behave({ match: HEAD_BLOB, status: 405 });
    assert.deepEqual(shortly(await verify('app:v1')), [`missing layer ${layerOf(amd64)}`]);
  });

  test('where a HEAD does not tell the size, the blob is read', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', amd64);
    registry.behave({ match: HEAD_BLOB, headers: { 'content-length': undefined } });
    assert.deepEqual((await verify('app:v1')).faults, []);
    assert.equal(registry.count(GET_BLOB), amd64.blobs.size);
  });

  test('a layer at foreign URLs need not be there', async (t) => {
    const { registry, verify } = await openStage(t);
    const image = withForeignLayer(amd64, ['https://example.com/layer']);
    const digest = layerOf(image);
    registry.seed('app', 'v1', image);
    registry.remove('app', digest);
    for (const deep of [false, true]) {
      const { faults, foreign, blobs } = await verify('app:v1', { deep });
      assert.deepEqual([faults, foreign, blobs], [[], 1, image.blobs.size - 1]);
    }
    registry.seedBlob('app', Buffer.from('short'), digest);
    assert.deepEqual(shortly(await verify('app:v1')), [`wrong layer ${digest}`]);
  });
});

describe('deep', { concurrency: 2 }, () => {
  test('every blob is read once, and no more', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    const { faults, isHashed } = await verify('app:v1', { deep: true });
    assert.deepEqual([faults, isHashed], [[], true]);
    assert.deepEqual([registry.count(GET_BLOB), registry.count(HEAD_BLOB)], [index.blobs.size, 0]);
  });

  test('wrong bytes are asked for once more, past caches; where they stay wrong, that is told', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    const damaged = layerOf(amd64);
    registry.seedBlob('app', randomBytes('damaged', 1000), damaged);
    const result = await verify('app:v1', { deep: true });
    assert.deepEqual(shortly(result), [`wrong layer ${damaged}`]);
    assert.match(result.faults[0]?.message ?? '', /does not match its digest/);
    const asked = registry.select({ ...GET_BLOB, path: new RegExp(digestHex(damaged)) });
    assert.deepEqual(
      asked.map(({ headers }) => headers['cache-control']),
      [undefined, 'no-cache'],
    );
    assert.deepEqual((await verify('app:v1')).faults, []);
  });

  test('a cache on the way with other bytes is not a fault of the image', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', amd64);
    registry.behave({ match: { ...GET_BLOB, times: 1 }, wrongBytes: true });
    assert.deepEqual((await verify('app:v1', { deep: true })).faults, []);
    assert.equal(registry.count(GET_BLOB), amd64.blobs.size + 1);
  });

  test('a blob that is cut each time is wrong', async (t) => {
    const { registry, verify } = await openStage(t, { retryTimes: 1 });
    registry.seed('app', 'v1', amd64);
    const path = new RegExp(`/blobs/${layerOf(amd64)}`);
    registry.behave({ match: { method: 'GET', path }, cutAfterBytes: 0, how: 'end' });
    assert.deepEqual(shortly(await verify('app:v1', { deep: true })), [`wrong layer ${layerOf(amd64)}`]);
  });

  test('a large blob comes in parallel ranges, and its bytes are held within bounds', async (t) => {
    const { registry, verify } = await openStage(t);
    const large = buildImage({ layers: { count: 1, size: 40 * 1024 * 1024 } });
    registry.seed('app', 'v1', large);
    registry.behave({ match: { method: 'GET', path: /blobs|manifests/ }, latencyMs: 60 });
    const { faults, bytes } = await verify('app:v1', { deep: true });
    assert.deepEqual(faults, []);
    assert.ok(bytes > 40 * 1024 * 1024);
    const ranged = registry.select(GET_BLOB).filter(({ range }) => range !== undefined);
    assert.ok(ranged.length > 1, `${ranged.length} requests for ranges`);
    assert.ok(registry.peak(GET_BLOB) > 2);
    const sent = registry.select(GET_BLOB).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    assert.ok(sent < bytes * 1.05, `${sent} bytes for ${bytes}`);
  });

  test('where ranges are refused, a large blob comes whole', async (t) => {
    const { registry, verify } = await openStage(t);
    const large = buildImage({ layers: { count: 1, size: 17 * 1024 * 1024 } });
    registry.seed('app', 'v1', large);
    registry.settings.ranges = false;
    assert.deepEqual((await verify('app:v1', { deep: true })).faults, []);
  });

  test('blobs are read side by side, as many as the jobs allow', async (t) => {
    const { registry, verify } = await openStage(t, { jobs: 2 });
    registry.seed('app', 'v1', buildImage({ layers: { count: 6, size: 1024 * 1024 } }));
    registry.behave({ match: { ...GET_BLOB, times: 2 }, hold: registry.until(() => registry.count(GET_BLOB) === 2) });
    assert.deepEqual((await verify('app:v1', { deep: true })).faults, []);
    assert.equal(registry.peak(GET_BLOB), 2);
  });

  test('ends at once, with nothing left, when it is aborted', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    const stop = new AbortController();
    registry.behave({ match: GET_BLOB, stall: true });
    const verified = verify('app:v1', { deep: true, signal: stop.signal });
    await registry.until(() => registry.count(GET_BLOB) > 0);
    stop.abort();
    await assert.rejects(verified, { name: 'AbortError' });
    await registry.until(() => registry.select(GET_BLOB).every(({ outcome }) => outcome !== 'open'));
  });
});

describe('with what refers to it', { concurrency: 2 }, () => {
  const total = Object.keys(referrers).length + Object.keys(tagged).length;

  for (const api of [true, false]) {
    test(`all of it is there, ${api ? 'by the referrers API' : 'by tags'}`, async (t) => {
      const { registry, verify } = await openStage(t, { referrers: api });
      seedSigned(registry);
      const result = await verify('app:v1', { referrers: true });
      assert.deepEqual([result.faults, result.referrers, result.manifests], [[], total, 3 + total]);
    });
  }

  test('one is listed and gone, and a blob of another is missing', async (t) => {
    const { registry, verify } = await openStage(t, { referrers: false });
    seedSigned(registry);
    const gone = referrers['a signature on the index'].manifest.digest;
    const lacking = layerOf(referrers['an SBOM of an instance']);
    registry.remove('app', gone);
    registry.remove('app', lacking);
    const result = await verify('app:v1', { referrers: true });
    assert.deepEqual(shortly(result), [`missing layer ${lacking}`, `missing referrer ${gone}`]);
    const fault = result.faults.find(({ digest }) => digest === gone);
    assert.equal(fault?.namedBy, index.manifest.digest);
    assert.deepEqual((await verify('app:v1')).faults, []);
  });

  test('a place that cannot have any is refused', async (t) => {
    const { home, registry, copier } = await openStage(t);
    registry.seed('app', 'v1', amd64);
    const directory = `dir:${join(home.path, 'image')}`;
    await copier.copy(at(registry, 'app:v1'), directory, { source: plainHttp });
    await assert.rejects(copier.verify(directory, { referrers: true }), { code: 'ERR_REFERRERS_UNSUPPORTED' });
  });
});

describe('compared with another', { concurrency: 2 }, () => {
  test('it is the same: one HEAD more', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    registry.seed('other', 'v1', index);
    const sameAs = at(registry, 'other:v1');
    const result = await verify('app:v1', { sameAs, sameAsEndpoint: plainHttp });
    assert.deepEqual([result.faults, result.sameAs], [[], { reference: sameAs, digest: index.manifest.digest }]);
    assert.deepEqual(
      registry.select({ path: /\/v2\/other/ }).map(({ method }) => method),
      ['HEAD'],
    );
  });

  test('it is another one', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    registry.seed('other', 'v1', amd64);
    const options = { sameAs: at(registry, 'other:v1'), sameAsEndpoint: plainHttp };
    const result = await verify('app:v1', options);
    assert.deepEqual(shortly(result), [`different manifest ${index.manifest.digest}`]);
    const platform = { os: 'linux', architecture: 'amd64' };
    assert.deepEqual((await verify('app:v1', { ...options, platform })).faults, []);
  });

  test('the other one is not there', async (t) => {
    const { registry, verify } = await openStage(t);
    registry.seed('app', 'v1', index);
    const sameAs = at(registry, 'other:v1');
    await assert.rejects(verify('app:v1', { sameAs, sameAsEndpoint: plainHttp }), { kind: 'not-found' });
  });

  test('what refers to the other has to refer to this one too', async (t) => {
    const { registry, verify } = await openStage(t);
    seedSigned(registry);
    registry.seed('copy', 'v1', index);
    const options = { referrers: true, sameAs: at(registry, 'app:v1'), sameAsEndpoint: plainHttp };
    const direct = [...Object.values(referrers), ...Object.values(tagged)].map(({ manifest }) => manifest.digest);
    const { faults } = await verify('copy:v1', options);
    assert.deepEqual(faults.map(({ digest }) => digest).toSorted(), direct.toSorted());
    assert.ok(faults.every(({ kind, part }) => kind === 'missing' && part === 'referrer'));
    assert.deepEqual((await verify('copy:v1', { ...options, referrers: false })).faults, []);
  });
});

describe('on this machine', { concurrency: 2 }, () => {
  let from: TestRegistry;

  before(async () => {
    from = await startRegistry();
    from.seed('app', 'v1', index);
    from.seed('one', 'v1', amd64);
  });

  after(() => from.close());

  const kinds: Readonly<Record<string, { readonly name: string; readonly blob: (digest: Digest) => string }>> = {
    dir: { name: 'dir:DIR', blob: digestHex },
    oci: { name: 'oci:DIR:v1', blob: (digest) => join('blobs', 'sha256', digestHex(digest)) },
  };

  for (const [kind, { name, blob }] of Object.entries(kinds)) {
    test(`${kind}: is whole, lacks a layer, has a short one and a damaged one`, async (t) => {
      const { home, copier } = await openStage(t);
      const folder = join(home.path, 'image');
      const reference = name.replace('DIR', folder);
      await copier.copy(at(from, 'app:v1'), reference, { source: plainHttp });
      const whole = await copier.verify(reference, { deep: true });
      assert.deepEqual([whole.faults, whole.manifests, whole.blobs], [[], 3, index.blobs.size]);

      const [layer, other] = [layerOf(amd64), layerOf(arm64)];
      const file = join(folder, blob(other));
      const bytes = await readFile(file);
      await writeFile(file, randomBytes('damage', bytes.length));
      assert.deepEqual((await copier.verify(reference)).faults, []);
      assert.deepEqual(shortly(await copier.verify(reference, { deep: true })), [`wrong layer ${other}`]);
      await truncate(file, 10);
      await rm(join(folder, blob(layer)));
      const expected = [`missing layer ${layer}`, `wrong layer ${other}`];
      assert.deepEqual(shortly(await copier.verify(reference)), expected);
      assert.deepEqual(shortly(await copier.verify(reference, { deep: true })), expected);
    });
  }

  const archives = { 'oci-archive': 'app:v1', 'docker-archive': 'one:v1' };

  for (const [kind, image] of Object.entries(archives)) {
    test(`${kind}: is whole, has a damaged layer, and is cut`, async (t) => {
      const { home, copier } = await openStage(t);
      const file = join(home.path, 'image.tar');
      const reference = `${kind}:${file}`;
      await copier.copy(at(from, image), `${reference}:app:v1`, {
        source: plainHttp,
      });
      const { faults, manifests, blobs } = await copier.verify(reference, { deep: true });
      assert.deepEqual(faults, []);
      assert.ok(manifests > 0 && blobs > 0);

      const bytes = await readFile(file);
      const content = amd64.blobs.get(layerOf(amd64)) ?? assert.fail('no layer');
      const start = bytes.indexOf(content);
      assert.ok(start > 0);
      bytes[start + 5] = (bytes[start + 5] ?? 0) ^ 1;
      await writeFile(file, bytes);
      assert.deepEqual((await copier.verify(reference)).faults, []);
      assert.equal((await copier.verify(reference, { deep: true })).faults.length, 1);
      await truncate(file, start + 10);
      await assert.rejects(copier.verify(reference), { kind: 'integrity' });
    });
  }

  test('an archive in a pipe is hashed as it passes, and read to its end', async (t) => {
    const { home, copier } = await openStage(t);
    const [file, fifo] = [join(home.path, 'image.tar'), join(home.path, 'pipe')];
    await copier.copy(at(from, 'app:v1'), `oci-archive:${file}:v1`, { source: plainHttp });
    await run('mkfifo', [fifo]);
    const written = pipeline(createReadStream(file), createWriteStream(fifo));
    const [{ faults, isHashed, blobs }] = await Promise.all([copier.verify(`oci-archive:${fifo}`), written]);
    assert.deepEqual([faults, isHashed, blobs], [[], true, index.blobs.size]);
  });

  test('a layout that does not exist is not there', async (t) => {
    const { home, copier } = await openStage(t);
    await assert.rejects(copier.verify(`oci:${join(home.path, 'none')}`), { kind: 'not-found' });
  });
});
