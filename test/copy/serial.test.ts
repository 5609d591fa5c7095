import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { finished } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { copyImage } from '../../src/copy/copy-image.ts';
import { SerialPool } from '../../src/copy/serial.ts';
import type { PreparedRun } from '../../src/copy/copy-run.ts';
import { BlobAttemptError, MissingBlobsError } from '../../src/contract/errors.ts';
import type { ImageSource } from '../../src/contract/image-source.ts';
import { ContentMismatchError, type Digest } from '../../src/digest/digest.ts';
import { Semaphore } from '../../src/io/semaphore.ts';
import { fakeRun, type FakeRun, type FakeRunOptions } from '../support/fakes.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';

const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
/** Layers of rising size: by size, the last would come first. */
const images = platforms.map((platform) =>
  buildImage({ layers: [1, 2, 3].map((n) => randomBytes(`${platform.architecture}${n}`, n * 700)), platform }),
);
const index = buildIndex({ images: images.map((image, position) => ({ image, platform: platforms[position] })) });

/** Its blobs in the order in which manifests name them, layers before the config. */
function inOrder(image: TestImage): readonly Digest[] {
  const each = image === index ? images : [image];
  return each.flatMap(({ blobs }) => {
    const [config, ...layers] = blobs.keys();
    return config === undefined ? [] : [...layers, config];
  });
}

interface ToySource extends Pick<ImageSource, 'concurrency' | 'getBlob'> {
  /** What was asked of it. */
  readonly given: Digest[];
}

/** A source that goes by once: it gives its blobs one after the other, in one order, and none twice. */
function toyStream(image: TestImage): ToySource {
  const given: Digest[] = [];
  const coming = [...inOrder(image)];
  let open: Readable | undefined;
  return {
    concurrency: 'serial',
    given,
    getBlob: async ({ digest, size }) => {
      assert.ok(open === undefined || open.closed, `${digest} is asked for before the blob ahead of it has gone by`);
      const at = coming.indexOf(digest);
      assert.notEqual(at, -1, `${digest} has gone by`);
      coming.splice(0, at + 1);
      given.push(digest);
      const bytes = image.blobs.get(digest) ?? Buffer.alloc(0);
      open = Readable.from([bytes.subarray(0, 500), bytes.subarray(500)], { objectMode: false });
      return { stream: open, size };
    },
  };
}

function serialRun(
  image: TestImage,
  options: Omit<FakeRunOptions, 'image'> = {},
): FakeRun & { readonly ready: PreparedRun; readonly toy: ToySource } {
  const toy = toyStream(image);
  const { given: _given, ...source } = toy;
  const fake = fakeRun({ ...options, image, source: { ...source, ...options.source } });
  return { ...fake, toy, ready: { ...fake.run, openCache: async () => fake.run.cache } };
}

test('takes one blob at a time of a source that goes by once, in the order of the manifest', async () => {
  const [image] = images;
  assert.ok(image);
  const { ready, toy, stored } = serialRun(image);
  await copyImage(ready);
  assert.deepEqual(toy.given, inOrder(image));
  assert.equal(stored.size, 4);
});

test('takes the instances of an index one after the other, whichever of their manifests comes first', async () => {
  const { ready, toy, manifests } = serialRun(index, {
    source: {
      getManifest: async ({ instanceDigest } = {}) => {
        const found = index.instances.find(({ digest }) => digest === instanceDigest) ?? index.manifest;
        for (let turns = found === index.instances[0] ? 20 : 0; turns > 0; turns -= 1) await nextTurn();
        return found;
      },
    },
  });
  await copyImage(ready);
  assert.deepEqual(toy.given, inOrder(index));
  assert.deepEqual(
    manifests.map(({ digest }) => digest),
    [...index.instances, index.manifest].map(({ digest }) => digest),
  );
});

test('opens no blob of a stream before the destination was asked for it', async () => {
  const [image] = images;
  assert.ok(image);
  const { ready, toy } = serialRun(image, {
    destination: {
      expectsMissing: () => true,
      tryReusingBlobWithOptions: async ({ digest, size }) => ({ reused: true, digest, size }),
    },
  });
  await copyImage(ready);
  assert.deepEqual(toy.given, []);
});

test('takes one blob at a time for a destination that is one stream', async () => {
  const [image] = images;
  assert.ok(image);
  const written: Digest[] = [];
  let open = 0;
  const { run } = fakeRun({
    image,
    destination: {
      concurrency: 'serial',
      putBlobWithOptions: async (stream, { digest = 'sha256:', size = 0 }) => {
        open += 1;
        assert.equal(open, 1);
        written.push(digest);
        stream.resume();
        await finished(stream);
        open -= 1;
        return { digest, size };
      },
    },
  });
  await copyImage({ ...run, openCache: async () => run.cache });
  assert.deepEqual(written, inOrder(image));
});

const failures = {
  'the destination lost it': new BlobAttemptError(new Error('lost')),
  'its bytes were wrong': new ContentMismatchError('wrong', 'this', 'that'),
};
for (const [why, failure] of Object.entries(failures)) {
  test(`does not ask a stream for a blob again once its bytes have moved, although ${why}`, async () => {
    const [image] = images;
    assert.ok(image);
    const { ready, toy, delays } = serialRun(image, {
      destination: {
        putBlobWithOptions: async (stream) => {
          await stream.toArray();
          throw failure;
        },
      },
    });
    const { message } = failure instanceof BlobAttemptError ? failure.cause : failure;
    await assert.rejects(copyImage(ready), (error: Error) => (error.cause as Error).message === message);
    assert.equal(toy.given.filter((digest) => digest === inOrder(image)[0]).length, 1);
    assert.deepEqual(delays, []);
  });
}

test('sends no blob of a stream after its turn, although the manifest is refused for want of it', async () => {
  const [image] = images;
  assert.ok(image);
  const refusal = new MissingBlobsError(new Error('MANIFEST_BLOB_UNKNOWN'));
  const { ready, calls } = serialRun(image, {
    destination: {
      tryReusingBlobWithOptions: async ({ digest, size }) => ({ reused: true, digest, size }),
      putManifest: async () => Promise.reject(refusal),
    },
  });
  await assert.rejects(copyImage(ready), { code: 'ERR_MISSING_BLOBS' });
  assert.equal(calls.filter((call) => call === 'putManifest').length, 1);
});

test('holds one place of the pool that all copies share, and one alone', async () => {
  const shared = new Semaphore(4);
  const pool = new SerialPool(shared);
  const first = await pool.acquire({ weight: 0.25 });
  const order: string[] = [];
  const small = pool.acquire({ priority: 1 }).then((release) => (order.push('small'), release));
  const large = pool.acquire({ priority: 9 }).then((release) => (order.push('large'), release));
  await nextTurn();
  assert.equal(shared.used, 0.25);
  first();
  (await small)();
  (await large)();
  assert.deepEqual(order, ['small', 'large']);
  assert.equal(shared.used, 0);
});

test('gives the turn on when a wait for the shared pool is aborted', async () => {
  const shared = new Semaphore(1);
  const release = await shared.acquire();
  const pool = new SerialPool(shared);
  const controller = new AbortController();
  const aborted = pool.acquire({ signal: controller.signal });
  const next = pool.acquire();
  controller.abort(new Error('over'));
  await assert.rejects(aborted, /over/);
  release();
  (await next)();
  assert.equal(shared.used, 0);
});
