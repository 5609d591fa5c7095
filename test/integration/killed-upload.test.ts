import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CopyPlan } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { runImgcopy, startImgcopy } from '../support/imgcopy-command.ts';
import { startDistribution3 } from '../support/real-registries.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { bytesSentOf, holdFrom } from './interruptions.ts';

const MB = 1_000_000;
const large = randomBytes('large', 40 * MB);
const image = buildImage({ layers: [large] });
const [digest] = [...image.blobs].find(([, bytes]) => bytes === large) ?? assert.fail();
const pollMs = 10;

/** A source that gives 70 % of the layer, and no more until it behaves well again. */
async function startHoldingSource(): Promise<TestRegistry> {
  const source = await startRegistry();
  source.seed('app', '1', image);
  holdFrom(source, digest, 0.7 * large.length);
  return source;
}

/** Kills a copy when its destination has received 70 % of the layer, but for the last range, and runs it again. @returns the part that is fetched again. */
async function killAndRunAgain(
  source: TestRegistry,
  options: { readonly host: string; readonly home: string; readonly received: () => Promise<number> | number },
): Promise<number> {
  const { host, home, received } = options;
  const args = ['--plain-http', `docker://${source.host}/app:1`, `docker://${host}/app:1`];
  const { child, result } = startImgcopy(args, { env: { HOME: home } });
  while (child.exitCode === null && (await received()) < 0.7 * large.length - 2 * MB) await sleep(pollMs);
  child.kill('SIGKILL');
  assert.equal((await result).signal, 'SIGKILL');
  source.behaveWell();
  await source.disconnected();
  source.reset();
  const before = await filesBelow(home);
  // Compiled code is kept beside the cache after any run. Here it would count as a file of the dry run.
  const env = { HOME: home, NODE_DISABLE_COMPILE_CACHE: '1' };
  const dry = await runImgcopy(['--dry-run', '--json', ...args], { env });
  assert.equal(dry.status, 0, dry.stderr);
  assert.deepEqual(await filesBelow(home), before, 'a dry run claims nothing, and makes no file');
  const again = await runImgcopy(['--json', ...args], { env: { HOME: home } });
  assert.equal(again.status, 0, again.stderr);
  // Whoever was killed has noted no byte: the dry run has asked the registry.
  const [plan, copied] = [dry.stdout, again.stdout].map((text) => JSON.parse(text) as CopyPlan);
  assert.ok((plan?.blobs.find((blob) => blob.digest === digest)?.bytesResumed ?? 0) > 0.5 * large.length);
  assert.deepEqual(plan?.bytes, copied?.bytes);
  return bytesSentOf(source, digest) / large.length;
}

test('a copy into a registry that is killed at 70 % fetches the rest alone when it is run again', async (t) => {
  await using source = await startHoldingSource();
  await using destination = await startRegistry({ keepCutSessions: true, leavesSessions: true });
  const received = (): number => destination.sessions[0]?.bytes ?? 0;
  const part = await killAndRunAgain(source, { host: destination.host, home: await temporaryDirectory(t), received });
  assert.ok(part <= 0.36, `${part}`);
  assert.ok(destination.blob('app', digest)?.equals(large));
});

test('a copy into distribution 3 that is killed at 70 % fetches the rest alone when it is run again', async (t) => {
  const destination = await startDistribution3(t);
  if (destination === undefined) return;
  await using source = await startHoldingSource();
  const { host, folder } = destination;
  const received = async (): Promise<number> => await largestUpload(join(folder, 'storage'));
  const part = await killAndRunAgain(source, { host, home: await temporaryDirectory(t), received });
  assert.ok(part <= 0.36, `${part}`);
});

test('an upload that is one stream continues as well: only the rest is sent', async (t) => {
  const medium = randomBytes('medium', 10 * MB);
  const mediumImage = buildImage({ layers: [medium] });
  const [layer] = [...mediumImage.blobs].find(([, bytes]) => bytes === medium) ?? assert.fail();
  await using source = await startRegistry();
  await using destination = await startRegistry({ keepCutSessions: true, leavesSessions: true });
  source.seed('app', '1', mediumImage);
  source.behave({ match: { path: new RegExp(`/blobs/${layer}$`) }, stallAfterBytes: 7 * MB });
  const home = await temporaryDirectory(t);
  const args = ['--plain-http', `docker://${source.host}/app:1`, `docker://${destination.host}/app:1`];
  const { child, result } = startImgcopy(args, { env: { HOME: home } });
  await destination.until(() => destination.sessions.some(({ bytes }) => bytes >= 6 * MB));
  child.kill('SIGKILL');
  await result;
  source.behaveWell();
  // The registry has noticed that the connection is gone, and kept what came.
  await destination.idle();
  destination.reset();
  const again = await runImgcopy(args, { env: { HOME: home } });
  assert.equal(again.status, 0, again.stderr);
  const sent = destination.select({ method: 'PATCH' }).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  assert.ok(sent > 0 && sent <= 4 * MB, `${sent}`);
  assert.ok(destination.blob('app', layer)?.equals(medium));
});

/** Names and sizes of files. */
async function filesBelow(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true });
  return Promise.all(names.toSorted().map(async (name) => `${name} ${(await stat(join(folder, name))).size}`));
}

/** Of the files below a folder, the size of the largest that is an upload's data. */
async function largestUpload(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const uploads = names.filter((name) => /_uploads\/.*\/data$/.test(name));
  const sizes = uploads.map(async (name) => (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0);
  return Math.max(0, ...(await Promise.all(sizes)));
}
