import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyImage, verifyImage, type CopyEvent, type DestinationOutcome } from '../../src/index.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { runImgcopy, startImgcopy } from '../support/imgcopy-command.ts';
import { loadFixture, pushTestImage, sampleImages } from '../support/integration-images.ts';
import { startDistribution2, startDistribution3 } from '../support/real-registries.ts';
import { requireTool } from '../support/real-tools.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { bytesSentOf, holdFrom } from './interruptions.ts';
import { craneDigest, realKinds, referenceAt } from './real-ends.ts';

const MB = 1_000_000;

/** How often a log says that a blob was read from a repository. */
async function blobReads(logFile: string, repository: string): Promise<number> {
  const log = await readFile(logFile, 'utf8');
  return [...log.matchAll(new RegExp(`"GET /v2/${repository}/blobs/sha256:[0-9a-f]{64} HTTP`, 'g'))].length;
}

for (const { name, start } of realKinds) {
  test(`${name} feeds distribution 2.8 and 3: each has the whole image, and each blob is read once`, async (t) => {
    const crane = requireTool(t, 'crane');
    const [source, two, three] = [await start(t), await startDistribution2(t), await startDistribution3(t)];
    if (crane === undefined || source === undefined || two === undefined || three === undefined) return;
    const folder = await temporaryDirectory(t);
    const env = { HOME: folder };
    const { 'a Docker image of 60 layers': _many, ...images } = sampleImages;
    for (const [title, image] of Object.entries(images)) {
      const repository = title.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase();
      await pushTestImage({ url: source.url, name: repository }, '1', image);
      const to: readonly string[] = [
        referenceAt(two, `${repository}:1`),
        referenceAt(three, `a/${repository}:1`),
        referenceAt(three, `b/${repository}:1`),
      ];
      const outcomes: readonly DestinationOutcome[] = await copyImage(referenceAt(source, `${repository}:1`), to, {
        env,
        cache: false,
      });
      for (const { destinationId, error } of outcomes) {
        assert.equal(error, undefined, title);
        assert.equal(await craneDigest(crane, destinationId), image.manifest.digest);
      }
      const mounted = outcomes[2]?.result?.blobs;
      assert.equal(mounted?.copied, 0, 'the second repository of one registry gets no bytes');
      const listed = image.blobs.size;
      assert.ok((await blobReads(source.logFile, repository)) <= listed, title);
      for (const reference of to) assert.deepEqual((await verifyImage(reference, { env, deep: true })).faults, []);
    }
  });
}

test('the next version in chunked layers goes to two registries that have the last, for the bytes of one', async (t) => {
  const [v1, v2] = [await loadFixture('zstdchunked', 'v1'), await loadFixture('zstdchunked', 'v2')];
  const bytesFor = async (count: number): Promise<number> => {
    await using source = await startRegistry();
    const targets = await Promise.all(Array.from({ length: count }, () => startRegistry()));
    const env = { HOME: await temporaryDirectory(t) };
    const options = { env, source: { plainHttp: true }, destination: { plainHttp: true } };
    source.seed('app', '1', v1);
    source.seed('app', '2', v2);
    const to = targets.map(({ host }) => `docker://${host}/app:latest`);
    await copyImage(`docker://${source.host}/app:1`, to, options);
    source.reset();
    const outcomes = await copyImage(`docker://${source.host}/app:2`, to, options);
    assert.deepEqual(
      outcomes.map(({ error, result }) => error ?? result?.blobs.partial),
      to.map(() => 1),
    );
    for (const target of targets) {
      for (const [digest, bytes] of v2.blobs) assert.ok(target.blob('app', digest)?.equals(bytes));
      await target.close();
    }
    await source.idle();
    return source.select({ method: 'GET', path: /\/blobs\// }).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  };
  const [one, three] = [await bytesFor(1), await bytesFor(3)];
  assert.ok(three <= one * 1.01, `${three} bytes instead of ${one}`);
});

test('a copy to several registries that is killed resumes at each of them', async (t) => {
  const large = randomBytes('large', 40 * MB);
  const image = buildImage({ layers: [large] });
  const [digest] = [...image.blobs].find(([, bytes]) => bytes === large) ?? assert.fail();
  await using source = await startRegistry();
  await using first = await startRegistry({ keepCutSessions: true, leavesSessions: true });
  await using second = await startRegistry({ keepCutSessions: true, leavesSessions: true });
  source.seed('app', '1', image);
  holdFrom(source, digest, 28 * MB);
  const home = await temporaryDirectory(t);
  const directory = join(home, 'image');
  const args = [
    '--plain-http',
    `docker://${source.host}/app:1`,
    `docker://${first.host}/app:1`,
    `docker://${second.host}/app:1`,
    `dir:${directory}`,
  ];
  const { child, result } = startImgcopy(args, { env: { HOME: home } });
  const received = (registry: TestRegistry): boolean => (registry.sessions[0]?.bytes ?? 0) >= 25 * MB;
  await Promise.race([
    result,
    Promise.all([first, second].map((registry) => registry.until(() => received(registry)))),
  ]);
  child.kill('SIGKILL');
  assert.equal((await result).signal, 'SIGKILL');
  source.behaveWell();
  // What the killed run still asked for is not counted to the next one.
  await Promise.all([source, first, second].map((registry) => registry.disconnected()));
  source.reset();
  const again = await runImgcopy(['--progress', 'json', ...args], { env: { HOME: home } });
  assert.equal(again.status, 0, again.stderr);
  const events = again.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as CopyEvent);
  const resumed = events.flatMap((event) =>
    event.type === 'blob-done' && event.digest === digest ? [event.bytesResumed] : [],
  );
  assert.equal(resumed.length, 3);
  for (const bytes of resumed) assert.ok(bytes > 20 * MB, `resumed at ${resumed.join(', ')}`);
  const rest = large.length - Math.min(...resumed);
  assert.equal(bytesSentOf(source, digest), rest, 'what any of them is missing comes once');
  for (const registry of [first, second]) assert.ok(registry.blob('app', digest)?.equals(large));
});
