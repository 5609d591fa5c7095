import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { createCopier } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { loadFixture } from '../support/integration-images.ts';
import type { RequestRecord } from '../support/registry.ts';
import {
  assertCopied,
  assertNoWrongBlob,
  copyTo,
  openScene,
  type Kind,
  type Scene,
  type SceneOptions,
} from './partial-copies.ts';

const MiB = 1024 * 1024;
const kinds = ['registry', 'dir'] as const;
const large = randomBytes('large', 36 * MiB);
const image = buildImage({ layers: [large] });
const layerPath = new RegExp(`blobs/${digestOf(large)}`);
const patches = { method: 'PATCH' };

/** A source that has the image, and is as slow as a line: what comes faster is taken as one stream. */
async function sceneWithImage(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  const scene = await openScene(t, options);
  scene.from.seed('app', '1', image);
  scene.from.behave({ match: { path: /blobs|manifests/ }, latencyMs: 50 });
  return scene;
}

function layerBytesSent({ from }: Scene): number {
  return from.select({ path: layerPath }).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
}

/** A copy that is aborted when the destination has so much of the layer. */
async function abortedCopy(kind: Kind, scene: Scene, { at }: { readonly at: number }): Promise<void> {
  const controller = new AbortController();
  let shown = 0;
  const copy = copyTo(kind, scene, '1', {
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === 'blob-progress') shown = event.bytes;
      if (shown >= at) controller.abort();
    },
  });
  await assert.rejects(copy, { name: 'AbortError' });
  await Promise.all([scene.from.idle(), scene.to.idle()]);
}

for (const kind of kinds) {
  test(`answers that are cut are taken up where they ended, into a ${kind} (behaviour 59)`, async (t) => {
    const scene = await sceneWithImage(t);
    const isRanged = ({ range }: RequestRecord): boolean => range !== undefined;
    for (const how of ['reset', 'close', 'end'] as const)
      scene.from.behave({ match: { path: layerPath, when: isRanged, times: 3 }, cutAfterBytes: 300_000, how });
    const { retries } = await copyTo(kind, scene, '1');
    assert.ok(retries >= 9);
    await assertCopied(kind, scene, image);
  });

  test(`an abort at any point leaves no upload or file that is of no use, and the next run ends right, into a ${kind}`, async (t) => {
    for (const at of [0, MiB, 9 * MiB, 30 * MiB]) {
      const scene = await sceneWithImage(t);
      await abortedCopy(kind, scene, { at });
      const kept = scene.to.sessions.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.ok(scene.to.sessions.length <= 1, 'no upload is left that nobody goes on with');
      scene.from.reset();
      await copyTo(kind, scene, '1');
      await assertCopied(kind, scene, image);
      if (kind === 'registry') assert.equal(layerBytesSent(scene), large.length - kept, `from ${at} on`);
    }
  });

  test(`a copy that is run again resumes where it stopped, into a ${kind} (behaviour 75)`, async (t) => {
    const scene = await sceneWithImage(t);
    await abortedCopy(kind, scene, { at: 34 * MiB });
    scene.from.reset();
    const { bytes, blobs } = await copyTo(kind, scene, '1');
    assert.ok(layerBytesSent(scene) < 20 * MiB, `${layerBytesSent(scene)} bytes came again`);
    assert.ok(bytes.reused >= large.length - layerBytesSent(scene));
    assert.equal(blobs.partial, 1);
    await assertCopied(kind, scene, image);
  });

  test(`a layer that the source lacks ends the copy of the others, into a ${kind} (behaviour 18)`, async (t) => {
    const scene = await openScene(t);
    const gone = randomBytes('gone', 2 * MiB);
    scene.from.seed('app', '1', buildImage({ layers: [large, gone, randomBytes('small', 3 * MiB)] }));
    scene.from.remove('app', digestOf(gone));
    scene.from.behave({ match: { path: /blobs|manifests/ }, latencyMs: 50 });
    await assert.rejects(copyTo(kind, scene, '1'), { kind: 'not-found', message: new RegExp(digestOf(gone)) });
    await Promise.all([scene.from.idle(), scene.to.idle()]);
    assert.deepEqual(scene.to.sessions, []);
    await assertNoWrongBlob(kind, scene);
  });

  test(`a source that falls silent ends in a clear error, into a ${kind} (behaviour 52)`, async (t) => {
    const scene = await sceneWithImage(t);
    scene.from.behave({ match: { path: layerPath, after: 5 }, stallAfterBytes: 0 });
    const copier = { timeoutMs: 200, retryTimes: 1 };
    await assert.rejects(copyTo(kind, scene, '1', { copier }), /copying layer/);
    await Promise.all([scene.from.idle(), scene.to.idle()]);
    assert.deepEqual(scene.to.sessions, []);
  });
}

test('an upload that is cut again and again resumes in the same run, or starts again where it is forgotten', async (t) => {
  for (const keepCutSessions of [true, false]) {
    const scene = await sceneWithImage(t, { to: { keepCutSessions } });
    for (const bytes of [5 * MiB, 9 * MiB])
      scene.to.behave({ match: { ...patches, times: 1 }, resetAfterRequestBytes: bytes });
    await copyTo('registry', scene, '1');
    await assertCopied('registry', scene, image);
    const uploaded = scene.to.select(patches).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
    assert.equal(uploaded, large.length + (keepCutSessions ? 0 : 14 * MiB));
  }
});

test('a directory as the source is continued at the registry, and its beginning hashed again', async (t) => {
  const scene = await sceneWithImage(t);
  await copyTo('dir', scene, '1');
  const { to, directory, env } = scene;
  const run = async (signal?: AbortSignal): Promise<void> => {
    await using copier = createCopier({ env, retryDelayMs: 1 });
    const destination = { plainHttp: true, noCreds: true };
    await copier.copy(`dir:${directory}`, `docker://${to.host}/app:latest`, { destination, signal });
  };
  const controller = new AbortController();
  to.behave({ match: { ...patches, times: 1 }, stallAfterRequestBytes: 20 * MiB });
  const stopped = assert.rejects(run(controller.signal), { name: 'AbortError' });
  await to.until(() => to.sessions[0]?.bytes === 20 * MiB);
  controller.abort();
  await stopped;
  assert.equal(to.sessions.length, 1);
  to.reset();
  await run();
  assert.equal(to.select(patches)[0]?.headers['content-range'], `${20 * MiB}-${large.length - 1}`);
  await assertCopied('registry', scene, image);
});

test('two runs of the same copy at once do not disturb each other', async (t) => {
  const scene = await sceneWithImage(t);
  scene.to.behave({ match: patches, latencyMs: 20 });
  await Promise.all([copyTo('registry', scene, '1'), copyTo('registry', scene, '1'), copyTo('registry', scene, '1')]);
  await assertCopied('registry', scene, image);
});

test('a chunked layer whose copy is aborted at any request leaves nothing, and comes right in the next run', async (t) => {
  const [v1, v2] = [await loadFixture('zstdchunked', 'v1'), await loadFixture('zstdchunked', 'v2')];
  for (const kind of kinds) {
    for (const at of [1, 2, 3, 4, 5, 6]) {
      const scene = await openScene(t);
      scene.from.seed('app', '1', v1);
      scene.from.seed('app', '2', v2);
      await copyTo(kind, scene, '1');
      const controller = new AbortController();
      let requests = 0;
      const count = (): void => {
        requests += 1;
        if (requests === at) controller.abort();
      };
      for (const registry of [scene.from, scene.to]) registry.behave({ match: { path: /blobs/ }, call: count });
      await copyTo(kind, scene, '2', { signal: controller.signal }).catch((error: Error) => {
        assert.equal(error.name, 'AbortError');
      });
      await Promise.all([scene.from.idle(), scene.to.idle()]);
      assert.deepEqual(scene.to.sessions, [], `aborted at request ${at}`);
      await assertNoWrongBlob(kind, scene);
      await copyTo(kind, scene, '2');
      await assertCopied(kind, scene, v2);
    }
  }
});
