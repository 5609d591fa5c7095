import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createCopier } from '../../src/index.ts';
import { LONG_BODY } from '../../src/http/send/body-handler.ts';
import { spoilFreeSlabs } from '../support/free-slabs.ts';
import { buildImage } from '../support/images.ts';
import { assertCopied, copyTo, openScene, type Kind, type Scene, type SceneCopyOptions } from './partial-copies.ts';

/** Two layers, each long enough to be read into slabs. They move at the same time and share the slabs. */
const image = buildImage({
  layers: [randomBytes(LONG_BODY + 3 * 1024 * 1024 + 1), randomBytes(LONG_BODY + 2 * 1024 * 1024 + 77)],
});
const layers = [...image.blobs.keys()].filter((digest) => (image.blobs.get(digest)?.length ?? 0) > 1024 * 1024);

/** Two registries; the source has the image. What is given back too early comes out wrong. */
async function openLongScene(t: TestContext): Promise<Scene> {
  spoilFreeSlabs(t);
  const scene = await openScene(t);
  scene.from.seed('app', '1', image);
  return scene;
}

/** One upload is not read while the other layer passes. */
function holdFirstUpload({ to }: Scene): void {
  const other = Promise.withResolvers<void>();
  to.behave({ match: { method: 'PATCH', times: 1 }, hold: other.promise });
  // After that of the config.
  to.behave({ match: { method: 'PUT', path: /blobs/, after: 1, times: 1 }, call: () => other.resolve() });
}

async function assertOnDisk({ layout, archive }: { readonly layout: string; readonly archive: string }): Promise<void> {
  const tar = await readFile(archive);
  for (const digest of layers) {
    const bytes = image.blobs.get(digest) as Buffer;
    const inLayout = await readFile(join(layout, 'blobs', digest.replace(':', '/')));
    assert.ok(inLayout.equals(bytes), `${digest} in the layout`);
    assert.ok(tar.includes(bytes), `${digest} in the archive`);
  }
}

/** One stream a layer. */
const whole: SceneCopyOptions = { partial: 'never' };

/** A copy takes nothing twice and tells of no other try. */
const noRetry: SceneCopyOptions = { onEvent: (event) => assert.notEqual(event.type, 'retry') };

for (const kind of ['registry', 'dir'] as Kind[]) {
  test(`two long layers come as streams at a time, to a ${kind}`, async (t) => {
    for (const options of [whole, {}]) {
      const scene = await openLongScene(t);
      await copyTo(kind, scene, '1', { ...options, ...noRetry });
      await assertCopied(kind, scene, image);
    }
  });

  test(`long layers that are cut are resumed where they were cut, to a ${kind}`, async (t) => {
    for (const how of ['reset', 'close'] as const) {
      const scene = await openLongScene(t);
      const match = { method: 'GET', path: /blobs/ };
      scene.from.behave({ match: { ...match, times: 1 }, cutAfterBytes: 5_000_001, how });
      scene.from.behave({ match: { ...match, times: 1 }, cutAfterBytes: 262_144, how });
      const { bytes } = await copyTo(kind, scene, '1', whole);
      await assertCopied(kind, scene, image);
      assert.equal(bytes.fetched, bytes.total, 'no byte came twice');
    }
  });
}

test('ranges of long layers that come many at a time, some of them cut, are put together in the right order', async (t) => {
  for (const kind of ['registry', 'dir'] as Kind[]) {
    const scene = await openLongScene(t);
    // As over a slow link: a near source is read as one stream.
    scene.from.behave({ match: { method: 'GET', path: /blobs|manifests/ }, latencyMs: 50 });
    scene.from.behave({ match: { method: 'GET', path: /blobs/, after: 5, times: 3 }, cutAfterBytes: 300_000 });
    await copyTo(kind, scene, '1');
    await assertCopied(kind, scene, image);
    assert.ok(scene.from.count({ method: 'GET', path: /blobs/ }) > 20);
  }
});

test('an upload that is cut in the middle of a long layer is sent again, with the right bytes', async (t) => {
  for (const options of [whole, {}]) {
    const scene = await openLongScene(t);
    scene.to.behave({ match: { method: 'PATCH', times: 2 }, resetAfterRequestBytes: 7_000_000 });
    await copyTo('registry', scene, '1', options);
    await assertCopied('registry', scene, image);
  }
});

test('chunks of an upload that may be sent again are kept until the registry has them', async (t) => {
  for (const options of [whole, {}]) {
    const scene = await openLongScene(t);
    scene.to.settings.patch = { maxBytes: 3_000_000 };
    scene.to.settings.monolithic = { maxBytes: 3_000_000 };
    // Chunks go out before the registry says that it wants them again.
    scene.to.behave({ match: { method: 'PATCH', after: 3, times: 4 }, resetAfterRequestBytes: 2_500_000 });
    await copyTo('registry', scene, '1', options);
    await assertCopied('registry', scene, image);
    assert.deepEqual(
      scene.to.requests.filter(({ status }) => status === 400),
      [],
      'no upload ended with a wrong digest',
    );
  }
});

test('a destination that is slow to read gets the right bytes', async (t) => {
  const scene = await openLongScene(t);
  holdFirstUpload(scene);
  await copyTo('registry', scene, '1', whole);
  await assertCopied('registry', scene, image);
});

test('several destinations get the same bytes of long layers, at their own pace', async (t) => {
  const scene = await openLongScene(t);
  holdFirstUpload(scene);
  const [layout, archive] = [join(scene.home, 'layout'), join(scene.home, 'image.tar')];
  await using copier = createCopier({ env: scene.env, retryDelayMs: 1 });
  const plain = { plainHttp: true, noCreds: true };
  await copier.copy(
    `docker://${scene.from.host}/app:1`,
    [`docker://${scene.to.host}/app:latest`, `oci:${layout}`, `oci-archive:${archive}`],
    { source: plain, destination: plain, partial: 'never', ...noRetry },
  );
  await assertCopied('registry', scene, image);
  await assertOnDisk({ layout, archive });
});

test('an archive and a layout get long layers as they are', async (t) => {
  const scene = await openLongScene(t);
  const plain = { plainHttp: true, noCreds: true };
  const [layout, archive] = [join(scene.home, 'layout'), join(scene.home, 'image.tar')];
  for (const partial of ['never', 'auto'] as const) {
    await using copier = createCopier({ env: scene.env, retryDelayMs: 1 });
    for (const destination of [`oci:${layout}-${partial}`, `oci-archive:${archive}-${partial}`])
      await copier.copy(`docker://${scene.from.host}/app:1`, destination, { source: plain, partial });
    await assertOnDisk({ layout: `${layout}-${partial}`, archive: `${archive}-${partial}` });
  }
});
