import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCache } from '../../../../src/cache/no-cache.ts';
import { digestOf } from '../../../../src/digest/digest.ts';
import { createCopier, type ImgcopyError } from '../../../../src/index.ts';
import { openMirroredSource, type MirroredSource } from '../../../../src/transports/registry/read/mirrored-source.ts';
import { at, openHome } from '../../../library/test-copier.ts';
import { buildImage, randomBytes } from '../../../support/images.ts';
import { startRegistry, type Rule, type TestRegistry } from '../../../support/registry.ts';
import { endpointOf, infoOf, openAccess, referenceTo } from '../../../support/registry-transport.ts';
import { readersOf } from '../../../support/memory-accessor.ts';

const layers = ['first', 'second'].map((name) => randomBytes(`mirrored ${name}`, 2000));
const [layer = Buffer.alloc(0), other = Buffer.alloc(0)] = layers;
const image = buildImage({ layers });
const BLOBS = 3;
const isManifest = { path: /\/manifests\// };
const isBlob = { path: /\/blobs\// };
const isLayer = { method: 'GET', path: new RegExp(digestOf(layer)) };

interface Stage extends AsyncDisposable {
  /** Has the image as mirror/app:v1, and is asked first. */
  readonly mirror: TestRegistry;
  /** Has the image as app:v1, which is its name. */
  readonly upstream: TestRegistry;
  readonly source: MirroredSource;
}

/** @param retries  of the source. Default: as in a run. */
async function open({ retries }: { readonly retries?: number } = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const mirror = stack.use(await startRegistry());
  const upstream = stack.use(await startRegistry());
  const access = stack.use(openAccess(retries === undefined ? {} : { policy: { retries } }));
  mirror.seed('mirror/app', 'v1', image);
  upstream.seed('app', 'v1', image);
  const endpoints = [referenceTo(mirror, 'mirror/app:v1'), referenceTo(upstream, 'app:v1')].map(endpointOf);
  const source = stack.use(await openMirroredSource(access, referenceTo(upstream, 'app:v1'), endpoints));
  const opened = stack.move();
  return { mirror, upstream, source, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const failures: Readonly<Record<string, Rule>> = {
  'lacks it': { status: 404 },
  'refuses it': { status: 403 },
  fails: { status: 500 },
  'cuts it every time': { cutAfterBytes: 20 },
  'gives other bytes': { status: 200, body: 'a page of a proxy' },
};

for (const [how, rule] of Object.entries(failures)) {
  test(`reads a manifest from the next address where the first one ${how}, and blobs from there too`, async () => {
    await using stage = await open({ retries: 1 });
    const { mirror, upstream, source } = stage;
    mirror.behave({ match: isManifest, ...rule });
    assert.equal((await source.getManifest()).digest, image.manifest.digest);
    assert.deepEqual(source.servedFrom(), { registry: upstream.host, repository: 'app' });
    const asked = mirror.count();
    const { stream } = await source.getBlob(infoOf(layer));
    assert.deepEqual(Buffer.concat((await stream.toArray()) as Buffer[]), layer);
    assert.equal((await source.getManifest()).digest, image.manifest.digest);
    assert.equal(mirror.count(), asked);
    assert.deepEqual([upstream.count(isManifest), upstream.count(isBlob)], [1, 1]);
  });
}

test('reads another tag from the next address where the first one lacks it, and the image still from the first', async () => {
  await using stage = await open();
  const { mirror, upstream, source } = stage;
  upstream.seed('app', 'signed', image);
  assert.equal((await source.getManifest({ tag: 'signed' })).digest, image.manifest.digest);
  assert.equal((await source.getManifest()).digest, image.manifest.digest);
  assert.deepEqual(source.servedFrom(), { registry: mirror.host, repository: 'mirror/app' });
});

test('reads one blob from the next address where the first one lacks it, and all else from the first', async () => {
  await using stage = await open();
  const { mirror, upstream, source } = stage;
  mirror.behave({ match: isLayer, status: 404 });
  const seen = new Map<string, string>();
  const cache = {
    ...noCache(),
    recordKnownLocation: (digest: string, { registry }: { registry: string }) => void seen.set(digest, registry),
  };
  await source.getManifest();
  for (const bytes of layers) {
    const { stream } = await source.getBlob(infoOf(bytes), { cache });
    assert.deepEqual(Buffer.concat((await stream.toArray()) as Buffer[]), bytes);
  }
  assert.deepEqual(source.servedFrom(digestOf(layer)), { registry: upstream.host, repository: 'app' });
  assert.deepEqual(source.servedFrom(digestOf(other)), { registry: mirror.host, repository: 'mirror/app' });
  assert.deepEqual(
    [...seen],
    [
      [digestOf(layer), upstream.host],
      [digestOf(other), mirror.host],
    ],
  );
  assert.deepEqual(
    upstream.requests.map(({ method, path }) => `${method} ${path}`),
    [`GET /v2/app/blobs/${digestOf(layer)}`],
  );
});

test('reads ranges from the next address where the first one fails or lacks the blob; a refusal of ranges is an answer', async () => {
  await using stage = await open();
  const { mirror, upstream, source } = stage;
  await source.getManifest();
  const read = async (blob: Buffer): Promise<Buffer> => {
    const parts: Buffer[] = [];
    const chunks = [
      { offset: 10, length: 5 },
      { offset: 100, length: 7 },
    ];
    for await (const reader of readersOf(source.getBlobAt(infoOf(blob), chunks))) {
      parts.push(...((await reader.toArray()) as Buffer[]));
    }
    return Buffer.concat(parts);
  };
  const wanted = (blob: Buffer): Buffer => Buffer.concat([blob.subarray(10, 15), blob.subarray(100, 107)]);
  mirror.behave({ match: { ...isLayer, times: 1 }, status: 416 });
  await assert.rejects(read(layer), { code: 'ERR_BAD_PARTIAL_REQUEST' });
  assert.equal(upstream.count(), 0);
  for (const [blob, status] of [
    [layer, 404],
    [other, 503],
  ] as const) {
    mirror.behave({ match: { method: 'GET', path: new RegExp(digestOf(blob)) }, status });
    assert.deepEqual(await read(blob), wanted(blob));
    assert.deepEqual(source.servedFrom(digestOf(blob)), { registry: upstream.host, repository: 'app' });
  }
});

test('a copy to the registry of a mirror mounts from the mirror, and asks the registry of the name for nothing', async (t) => {
  const { env } = await openHome(t);
  await using stage = await open();
  const { mirror, upstream, source } = stage;
  await using copier = createCopier({ env });
  const result = await copier.copy(source, at(mirror, 'copy:v1'), { destination: { plainHttp: true } });
  assert.equal(result.source, at(upstream, 'app:v1'));
  assert.equal(result.blobs.mounted, BLOBS);
  assert.equal(upstream.count(), 0);
});

test('a copy gets a blob from the next address where the first one gives other bytes', async (t) => {
  const { env } = await openHome(t);
  await using stage = await open();
  const { mirror, upstream, source } = stage;
  await using to = await startRegistry();
  mirror.behave({ match: isLayer, status: 200, body: 'x'.repeat(layer.length) });
  await using copier = createCopier({ env, retryDelayMs: 1 });
  await copier.copy(source, at(to, 'copy:v1'), { destination: { plainHttp: true } });
  assert.deepEqual(to.blob('copy', digestOf(layer)), layer);
  assert.equal(upstream.count(), 1);
});

test('where no address gives the image, the error is that of the last one, and names the failures of the others', async () => {
  await using stage = await open({ retries: 0 });
  const { mirror, upstream, source } = stage;
  mirror.behave({ status: 403 });
  upstream.remove('app', 'v1');
  await assert.rejects(source.getManifest(), (error: ImgcopyError) => {
    assert.deepEqual([error.code, error.kind, error.side], ['ERR_NOT_FOUND', 'not-found', 'source']);
    assert.match(
      error.message,
      new RegExp(
        `^reading the manifest of ${at(upstream, 'app:v1')}: 2 addresses were asked; GET http://${mirror.host}/.*: 403`,
      ),
    );
    return true;
  });
});
