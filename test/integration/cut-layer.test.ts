import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../../src/digest/digest.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { runImgcopy, startImgcopy } from '../support/imgcopy-command.ts';
import { startDistribution2, startDistribution3, type RealRegistry } from '../support/real-registries.ts';
import { requireTool } from '../support/real-tools.ts';
import { startRegistry } from '../support/registry.ts';
import { assertHoldsOnly, temporaryDirectory } from '../transports/dir/image-directory.ts';
import { bytesSentOf, holdFrom, partialName, sizeOf, untilFileHas } from './interruptions.ts';
import { copyBySkopeo, referenceAt } from './real-ends.ts';

const layer = randomBytes('layer', 64 * 1024 * 1024);
const image = buildImage({ layers: [layer] });
const digest = digestOf(layer);
const cut = 0.7 * layer.length;

/**
 * Copies the image from a registry that stops sending the layer where it is to be cut, kills the copy when its destination has received
 * all of that, and runs it again.
 *
 * @returns what came from the source then, as a part of the layer.
 */
async function cutAndRunAgain(home: string, destination: string, received: () => Promise<void>): Promise<number> {
  await using source = await startRegistry();
  source.seed('app', '1', image);
  const args = [referenceAt(source, 'app:1'), destination];
  holdFrom(source, digest, cut);
  const { child, result } = startImgcopy(args, { env: { HOME: home } });
  await Promise.race([result, received()]);
  child.kill('SIGKILL');
  const { signal, stderr } = await result;
  assert.equal(signal, 'SIGKILL', stderr);

  source.behaveWell();
  await source.disconnected();
  source.reset();
  const again = await runImgcopy(args, { env: { HOME: home } });
  assert.equal(again.status, 0, again.stderr);
  return bytesSentOf(source, digest) / layer.length;
}

/** Resolves when a registry has written so many bytes of an upload to its disk. */
async function untilUploaded(registry: RealRegistry, repository: string, bytes: number): Promise<void> {
  const uploads = join(dirname(registry.logFile), 'storage/docker/registry/v2/repositories', repository, '_uploads');
  for (;;) {
    const sessions = await readdir(uploads).catch(() => []);
    const sizes = await Promise.all(sessions.map((session) => sizeOf(join(uploads, session, 'data'))));
    if (Math.max(0, ...sizes) >= bytes) return;
    await sleep(10, undefined, { ref: false });
  }
}

test('a layer that was cut on its way into a directory is continued there (behaviour 75)', async (t) => {
  const [home, directory] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  const received = (): Promise<void> => untilFileHas(directory, partialName(digest), cut);
  const fetched = await cutAndRunAgain(home, `dir:${directory}`, received);
  assert.ok(fetched <= 0.31, `${fetched} of the layer came again`);
  await assertHoldsOnly(directory, image);
});

test('a layer that was cut on its way into distribution 3, which keeps what it got, is continued there', async (t) => {
  const [registry, skopeo] = [await startDistribution3(t), requireTool(t, 'skopeo')];
  if (registry === undefined || skopeo === undefined) return;
  const [home, copy] = [await temporaryDirectory(t), join(await temporaryDirectory(t), 'copy')];
  const destination = referenceAt(registry, 'copy:1');
  const fetched = await cutAndRunAgain(home, destination, () => untilUploaded(registry, 'copy', cut));
  assert.ok(fetched <= 0.35, `${fetched} of the layer came again`);
  await copyBySkopeo(skopeo, destination, `dir:${copy}`);
  await assertHoldsOnly(copy, image);
});

test('a layer that was cut on its way into distribution 2.8, which forgets what it got, is sent again', async (t) => {
  const [registry, skopeo] = [await startDistribution2(t), requireTool(t, 'skopeo')];
  if (registry === undefined || skopeo === undefined) return;
  const [home, copy] = [await temporaryDirectory(t), join(await temporaryDirectory(t), 'copy')];
  const destination = referenceAt(registry, 'copy:1');
  const fetched = await cutAndRunAgain(home, destination, () => untilUploaded(registry, 'copy', cut));
  // Beside the layer: the heads of the parts that it comes in.
  assert.ok(fetched >= 1 && fetched < 1.001, `${fetched} of the layer came again`);
  await copyBySkopeo(skopeo, destination, `dir:${copy}`);
  await assertHoldsOnly(copy, image);
});
