import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { formatError } from '../../src/cli/error-report.ts';
import { describeRetry } from '../../src/cli/progress/plain-progress.ts';
import {
  createCopier,
  ImgcopyError,
  type CopyEvent,
  type ImageDestination,
  type ImageSource,
  type RangeAnswer,
} from '../../src/index.ts';
import { fakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 2, size: 1000 } });

interface OwnObjects extends ReturnType<typeof fakeRun> {
  readonly source: ImageSource;
  readonly destination: ImageDestination;
  /** How often either was disposed of. */
  readonly disposals: () => number;
}

function ownObjects(options: FakeRunOptions = {}): OwnObjects {
  let disposals = 0;
  const disposal = { [Symbol.asyncDispose]: async () => void (disposals += 1) };
  const fake = fakeRun({
    image,
    source: { ...disposal, ...options.source },
    destination: { ...disposal, ...options.destination },
  });
  return { ...fake, source: fake.run.source, destination: fake.run.destination, disposals: () => disposals };
}

test('copies from an object to a registry and a directory, and leaves the object open', async (t) => {
  const { path, env } = await openHome(t);
  await using registry = await startRegistry();
  const { source, disposals } = ownObjects();
  await using copier = createCopier({ env });
  const [pushed, stored] = await Promise.all([
    copier.copy(source, at(registry, 'app:v1'), { destination: { plainHttp: true } }),
    copier.copy(source, `dir:${join(path, 'image')}`),
  ]);
  assert.equal(registry.manifest('app', 'v1')?.digest, image.manifest.digest);
  assert.deepEqual([pushed.source, pushed.blobs.copied, pushed.requests.source], ['fake:source', 3, 0]);
  assert.equal(stored.reference, `dir:${join(path, 'image')}@${image.manifest.digest}`);
  assert.equal((await readdir(join(path, 'image'))).length, 5);
  assert.equal(disposals(), 0);
});

test('gives a registry the default tag where the source is an object, which has no name', async (t) => {
  const { env } = await openHome(t);
  await using registry = await startRegistry();
  await using copier = createCopier({ env });
  await copier.copy(ownObjects().source, at(registry, 'app'), { destination: { plainHttp: true } });
  assert.deepEqual(registry.tags('app'), ['latest']);
});

test('copies from a registry to an object, and leaves the object open', async (t) => {
  const { env } = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const { destination, stored, manifests, disposals } = ownObjects();
  await using copier = createCopier({ env });
  const result = await copier.copy(at(registry, 'app:v1'), destination, { source: { plainHttp: true } });
  assert.equal(result.reference, `fake:destination@${image.manifest.digest}`);
  assert.deepEqual(new Set(stored.keys()), new Set(image.blobs.keys()));
  assert.deepEqual(manifests, [image.manifest]);
  assert.equal(disposals(), 0);
});

test('leaves objects open where the copy fails, and makes no directory for a source that fails', async (t) => {
  const { path, env } = await openHome(t);
  const broken = ownObjects({ source: { getManifest: () => Promise.reject(new Error('the generator is broken')) } });
  await using copier = createCopier({ env });
  await assert.rejects(copier.copy(broken.source, `dir:${join(path, 'image')}`), /the generator is broken/);
  await assert.rejects(copier.copy(broken.source, broken.destination), /the generator is broken/);
  assert.deepEqual(await readdir(path), []);
  assert.equal(broken.disposals(), 0);
});

test('one source feeds two destinations, and events, results and errors say which one', async (t) => {
  const { env } = await openHome(t);
  await using first = await startRegistry();
  await using second = await startRegistry();
  second.behave({ match: { method: 'PUT', path: /manifests/ }, status: 403 });
  first.behave({ match: { method: 'PUT', path: /manifests/, times: 1 }, status: 503 });
  const { source } = ownObjects();
  const events: CopyEvent[] = [];
  await using copier = createCopier({ env, retryDelayMs: 1 });
  const [mirrored, failed] = await Promise.allSettled(
    [first, second].map((registry, index) =>
      copier.copy(source, at(registry, 'app:v1'), {
        destination: { plainHttp: true },
        destinationId: `mirror ${index + 1}`,
        onEvent: (event) => void events.push(event),
      }),
    ),
  );
  assert.equal(mirrored?.status === 'fulfilled' && mirrored.value.destinationId, 'mirror 1');
  assert.ok(failed?.status === 'rejected' && failed.reason instanceof ImgcopyError);
  assert.deepEqual([failed.reason.side, failed.reason.destinationId], ['destination', 'mirror 2']);
  assert.match(formatError(failed.reason, { stack: false, sides: true }), /^ {2}mirror 2: PUT .*: 403/m);
  for (const id of ['mirror 1', 'mirror 2']) {
    const own = events.filter((event) => event.destinationId === id && event.type === 'blob-done');
    assert.equal(own.length, image.blobs.size);
  }
  const retry = events.find((event) => event.type === 'retry');
  assert.ok(retry?.type === 'retry');
  assert.match(describeRetry(retry, { withRequest: true }), /^mirror 1: PUT .*503/);
});

test('an error of the source belongs to no destination', async (t) => {
  const { path, env } = await openHome(t);
  const failure = new ImgcopyError('the generator is broken', { code: 'ERR_BROKEN', side: 'source' });
  const { source } = ownObjects({ source: { getManifest: () => Promise.reject(failure) } });
  await using copier = createCopier({ env });
  const copying = copier.copy(source, `dir:${join(path, 'image')}`, { destinationId: 'mirror' });
  await assert.rejects(copying, { side: 'source', destinationId: undefined });
});

test('a source that does not give the ranges that were asked for is reported', async (t) => {
  const { path, env } = await openHome(t);
  const broken = buildImage({ layers: [randomBytes('large', 17 * 1024 * 1024)] });
  const none: RangeAnswer = { kind: 'ranges', readers: Readable.from([]) };
  const { run } = fakeRun({ image: broken, source: { getBlobAt: async () => none } });
  await using copier = createCopier({ env });
  await assert.rejects(copier.copy(run.source, `dir:${join(path, 'image')}`), {
    code: 'ERR_BROKEN_CONTRACT',
    hint: /^correct the object/,
  });
});
