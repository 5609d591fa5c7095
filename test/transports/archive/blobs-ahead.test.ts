import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { digestOf, type Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { ociArchiveTransport } from '../../../src/transports/archive/index.ts';
import { registryTransport } from '../../../src/transports/registry/index.ts';
import type { ImageName } from '../../../src/transports/transport.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { program } from '../../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import {
  craneArchive,
  dockerSave,
  dockerSave25,
  layoutBlobs,
  layoutFiles,
  ociArchive,
  skopeoArchive,
  tarOf,
  temporaryFolder,
  withPlainLayers,
  type RawMember,
} from './archives.ts';

/** A blob that does not go up while the rest is held back would be waited for without end. */
const timeout = 20_000;

const layers = ['one', 'two', 'three'].map((name) => tarGzLayer({ [name]: randomBytes(name, 300_000) }));
const image = buildImage({ layers });
const plain = withPlainLayers(image);
const other = buildImage({ layers: [tarGzLayer({ other: randomBytes('other', 300_000) }), ...layers] });
const index = buildIndex({
  images: [
    { image, platform: { os: 'linux', architecture: 'amd64' } },
    { image: other, platform: { os: 'linux', architecture: 'arm64' } },
  ],
});

interface Form {
  readonly transport: 'oci-archive' | 'docker-archive';
  readonly members: readonly RawMember[];
  readonly image: TestImage;
}

const forms: Readonly<Record<string, Form>> = {
  'an OCI archive whose index is last': { transport: 'oci-archive', members: ociArchive(image), image },
  'an OCI archive with several platforms': { transport: 'oci-archive', members: ociArchive(index), image: index },
  'docker save from Docker 25 on': { transport: 'docker-archive', ...dockerSave25(image, 'app:v1') },
  'docker save before Docker 25': { transport: 'docker-archive', members: dockerSave(image, ['app:v1']), image: plain },
  'a docker-archive of skopeo': {
    transport: 'docker-archive',
    members: skopeoArchive(image, ['app:v1']),
    image: plain,
  },
  'a docker-archive of crane': { transport: 'docker-archive', members: craneArchive(image, ['app:v1']), image },
};

for (const [what, { transport, members, image: expected }] of Object.entries(forms)) {
  test(`layers of a pipe go up before the manifest has come: ${what}`, { timeout }, async (t) => {
    const { pipe, registry, copier } = await stage(t);
    const writing = feed(pipe, members, async () => {
      await registry.until(() => registry.blobs('app').length > 0);
      assert.deepEqual(registry.tags('app'), []);
    });
    const result = await copier.copy(`${transport}:${pipe}`, at(registry, 'app:v1'));
    await writing;
    assert.equal(result.digest, expected.manifest.digest);
    assertHolds(registry, 'app', expected);
    const { blobs, bytes } = result;
    assert.deepEqual([blobs.total, blobs.copied], [expected.blobs.size, expected.blobs.size]);
    assert.deepEqual([bytes.fetched, bytes.uploaded], [bytes.total, bytes.total]);
    for (const digest of expected.blobs.keys()) assertSentOnce(registry, digest);
  });
}

test(
  'a destination without a tag takes that of the archive, and its layers go up before that is known',
  { timeout },
  async (t) => {
    const { pipe, registry, copier } = await stage(t);
    const { members } = dockerSave25(image, 'app:v7');
    const writing = feed(pipe, members, () => registry.until(() => registry.blobs('app').length > 0));
    const result = await copier.copy(`docker-archive:${pipe}`, at(registry, 'app'));
    await writing;
    assert.deepEqual(registry.tags('app'), ['v7']);
    assert.equal(result.digest, plain.manifest.digest);
    for (const digest of plain.blobs.keys()) assertSentOnce(registry, digest);
    const started = copier.events.filter(({ type }) => type === 'started');
    assert.deepEqual(started, [
      { type: 'started', source: `docker-archive:${pipe}`, destination: at(registry, 'app') },
    ]);
  },
);

test('layers go up while standard input is still being written', { timeout }, async (t) => {
  const { registry } = await stage(t);
  const { env } = await openHome(t);
  const child = spawn(process.execPath, [program, '-', `${registry.host}/app`], {
    env: { ...env, PATH: process.env['PATH'] },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const printed = text(child.stdout);
  const closed = once(child, 'close');
  await write(child.stdin, dockerSave25(image, 'app:v7').members, () =>
    registry.until(() => registry.blobs('app').length > 0),
  );
  assert.deepEqual(await closed, [0, null]);
  assert.equal(await printed, `docker://${registry.host}/app@${plain.manifest.digest}\n`);
  assert.deepEqual(registry.tags('app'), ['v7']);
});

test('an image that is there already costs no request for its layers', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  registry.seed('app', 'v1', image);
  const writing = feed(pipe, ociArchive(image));
  const { skipped, requests } = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assert.deepEqual([skipped, requests.destination], ['same', 1]);
});

test('an archive that comes at once is copied with the requests that a file takes', { timeout }, async (t) => {
  const tiny = buildImage({ layers: ['a', 'b'].map((name) => tarGzLayer({ [name]: name })) });
  const { pipe, registry } = await stage(t);
  let opened = 0;
  const parse = (reference: string): ImageName => {
    const name = registryTransport.parse(reference);
    const openDestination = name.openDestination?.bind(name);
    // All of the archive has been read before that.
    name.openDestination = async (options) => {
      opened += 1;
      await writing;
      for (let turn = 0; turn < 100; turn += 1) await nextTurn();
      return await openDestination!(options);
    };
    return name;
  };
  await using copier = new TestCopier(await openHome(t), {
    transports: [{ ...registryTransport, parse }, ociArchiveTransport],
  });
  const writing = pipeline(Readable.from([tarOf(ociArchive(tiny))]), createWriteStream(pipe));
  await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  assert.equal(opened, 1);
  assertHolds(registry, 'app', tiny);
  assert.equal(registry.count({ path: /manifests\/v1/ }), 2);
  for (const digest of tiny.blobs.keys()) assertSentOnce(registry, digest);
});

test('with -n, nothing goes up where the tag exists', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  registry.seed('app', 'v1', plain);
  const writing = feed(pipe, ociArchive(image));
  const { skipped } = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'), { noClobber: true });
  await writing;
  assert.equal(skipped, 'exists');
  assert.equal(registry.count({ method: 'POST' }), 0);
});

test('a slow upload does not stop the pipe', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const written = Promise.withResolvers<void>();
  registry.behave({ match: { method: 'PUT', path: /uploads/ }, hold: written.promise });
  const copying = copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await feed(pipe, ociArchive(image));
  written.resolve();
  const { digest } = await copying;
  assert.equal(digest, image.manifest.digest);
});

test('no more layers go up at a time than there are jobs', { timeout }, async (t) => {
  const { pipe, registry } = await stage(t);
  await using copier = new TestCopier(await openHome(t), { jobs: 1 });
  // Each of these fills the pool.
  const big = buildImage({
    layers: ['a', 'b', 'c'].map((name) => tarGzLayer({ [name]: randomBytes(name, 1_200_000) })),
  });
  const writing = feed(pipe, ociArchive(big));
  await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assertHolds(registry, 'app', big);
  assert.equal(registry.peak({ when: ({ method }) => method === 'PUT' || method === 'PATCH' }), 1);
});

test('an upload that is cut is sent again from the disk', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const big = buildImage({ layers: [tarGzLayer({ big: randomBytes('big', 6_000_000) })] });
  registry.behave({ match: { method: 'PATCH', times: 2 }, resetAfterRequestBytes: 1_000_000 });
  const writing = feed(pipe, ociArchive(big));
  const result = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assertHolds(registry, 'app', big);
  assert.equal(result.retries, 2);
});

test(
  'where the registry refuses a layer, the copy ends without waiting for the rest of the pipe',
  { timeout },
  async (t) => {
    const { pipe, registry, copier } = await stage(t);
    registry.behave({ match: { method: 'POST', path: /uploads/ }, status: 403 });
    const ended = Promise.withResolvers<void>();
    const writing = feed(pipe, ociArchive(image), () => ended.promise);
    const destination = at(registry, 'app:v1');
    await assert.rejects(copier.copy(`oci-archive:${pipe}`, destination), {
      kind: 'denied',
      side: 'destination',
      message: new RegExp(`^copying layer sha256:[0-9a-f]+ to ${destination}$`),
    });
    ended.resolve();
    await assert.rejects(writing, { code: 'EPIPE' });
  },
);

test('a pipe that ends within a layer leaves neither a manifest nor an upload session', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const archive = tarOf(ociArchive(image));
  const writing = pipeline(Readable.from([archive.subarray(0, 500_000)]), createWriteStream(pipe));
  await assert.rejects(copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1')), {
    code: 'ERR_INVALID_ARCHIVE',
    message: /ends too early/,
  });
  await writing;
  await registry.idle();
  assert.deepEqual([registry.tags('app'), registry.sessions], [[], []]);
});

for (const plainHttp of [true, false]) {
  const what = plainHttp ? 'http' : 'https';

  test(
    `a broken archive is told without waiting for a registry that never answers by ${what}`,
    { timeout },
    async (t) => {
      const { pipe } = await stage(t);
      const { server, asked } = await startMute(t);
      const { port } = server.address() as AddressInfo;
      await using copier = new TestCopier(await openHome(t), { endpoint: { plainHttp } });
      const archive = tarOf(ociArchive(image));
      async function* beginning(): AsyncGenerator<Buffer> {
        yield archive.subarray(0, 500_000);
        await asked;
      }
      const writing = pipeline(Readable.from(beginning()), createWriteStream(pipe));
      await assert.rejects(copier.copy(`oci-archive:${pipe}`, `docker://localhost:${port}/app:v1`), {
        code: 'ERR_INVALID_ARCHIVE',
        message: /ends too early/,
      });
      await writing;
      assert.deepEqual(
        copier.events.filter(({ type }) => type === 'retry'),
        [],
      );
    },
  );
}

test('an interruption ends what is under way, while the pipe gives nothing', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const interruption = new AbortController();
  const ended = Promise.withResolvers<void>();
  const big = buildImage({ layers: [tarGzLayer({ big: randomBytes('big', 6_000_000) })] });
  const archive = tarOf(ociArchive(big));
  async function* half(): AsyncGenerator<Buffer> {
    yield archive.subarray(0, 3_000_000);
    await ended.promise;
  }
  const writing = pipeline(Readable.from(half()), createWriteStream(pipe));
  const copying = copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'), { signal: interruption.signal });
  copying.catch(() => undefined);
  await registry.until(() => registry.select({ method: 'PATCH' }).some(({ bodyBytes }) => bodyBytes > 1_000_000));
  interruption.abort();
  await assert.rejects(copying, { name: 'AbortError' });
  ended.resolve();
  await writing.catch(() => undefined);
  await registry.idle();
  assert.deepEqual(registry.sessions, []);
});

test('a layer with other bytes than its digest ends the copy, as it does out of a file', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const members = ociArchive(image).map((member) => (isLayer(member) ? { ...member, bytes: wrong(member) } : member));
  const writing = feed(pipe, members);
  await assert.rejects(copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1')), {
    code: 'ERR_CONTENT_MISMATCH',
    kind: 'integrity',
    message: /^copying layer sha256:[0-9a-f]+ to /,
  });
  await writing.catch(() => undefined);
  assert.deepEqual(registry.tags('app'), []);
  for (const layer of layers) assert.equal(registry.blob('app', digestOf(layer)), undefined);
});

test('a copy that fails does not wait for uploads that went ahead', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const ended = Promise.withResolvers<void>();
  registry.behave({ match: { method: 'PUT', path: /uploads/ }, hold: ended.promise });
  const [config] = image.blobs.keys();
  const name = layoutBlobPath(config!);
  const members = ociArchive(image).map((one) => (one.name === name ? { ...one, bytes: Buffer.from('{}') } : one));
  const writing = feed(pipe, members);
  await assert.rejects(copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1')), {
    code: 'ERR_CONTENT_MISMATCH',
    message: /^copying config /,
  });
  ended.resolve();
  await writing;
});

test('a layer that the image does not have is of no concern, whatever its bytes are', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const [extra] = ociArchive(buildImage({ layers: [layers[0]!] })).filter(isLayer);
  assert.ok(extra);
  const two = buildImage({ layers: layers.slice(1) });
  const writing = feed(pipe, [{ ...extra, bytes: wrong(extra) }, ...ociArchive(two)]);
  const result = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assertHolds(registry, 'app', two);
  assert.equal(result.blobs.total, two.blobs.size);
});

test('of an archive that has its index first, layers in another order go up as they come', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const [first, ...others] = layoutFiles([['v1', image]]);
  const blobs = layoutBlobs(image);
  const members = [first!, ...others, ...blobs.filter((one) => !isLayer(one)), ...blobs.filter(isLayer).toReversed()];
  const writing = feed(pipe, members, () => registry.until(() => registry.blobs('app').length > 0));
  const result = await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'));
  await writing;
  assert.equal(result.blobs.copied, image.blobs.size);
  assertHolds(registry, 'app', image);
  for (const digest of image.blobs.keys()) assertSentOnce(registry, digest);
});

test('of an index whose platforms are chosen, nothing else goes up', { timeout }, async (t) => {
  const { pipe, registry, copier } = await stage(t);
  const writing = feed(pipe, ociArchive(index));
  const platforms = [{ os: 'linux', architecture: 'amd64' }];
  await copier.copy(`oci-archive:${pipe}`, at(registry, 'app:v1'), { platforms });
  await writing;
  assertHolds(registry, 'app', image);
});

test('of an archive with several images, nothing else goes up than the one that is named', { timeout }, async (t) => {
  const members = [...layoutBlobs(other), ...layoutBlobs(image)].concat(
    layoutFiles([
      ['v1', image],
      ['v2', other],
    ]),
  );
  const { pipe, registry, copier } = await stage(t);
  const named = feed(pipe, members);
  await copier.copy(`oci-archive:${pipe}:v1`, at(registry, 'app:v1'));
  await named;
  assertHolds(registry, 'app', image);
  const unnamed = feed(pipe, members);
  await assert.rejects(copier.copy(`oci-archive:${pipe}`, at(registry, 'other:v1')), { code: 'ERR_SEVERAL_IMAGES' });
  await unnamed;
  assert.deepEqual(registry.tags('other'), []);
});

async function stage(
  t: TestContext,
): Promise<{ readonly pipe: string; readonly registry: TestRegistry; readonly copier: TestCopier }> {
  const pipe = join(await temporaryFolder(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const registry = await startRegistry();
  const copier = new TestCopier(await openHome(t));
  t.after(async () => {
    await copier[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  return { pipe, registry, copier };
}

/** A server that takes requests and never answers. `asked`: the first bytes of one have come. */
async function startMute(t: TestContext): Promise<{ readonly server: Server; readonly asked: Promise<void> }> {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('data', () => resolve());
  }).listen(0, 'localhost');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, asked };
}

function isLayer({ bytes }: RawMember): boolean {
  return (bytes?.length ?? 0) > 100_000;
}

function wrong({ bytes = Buffer.alloc(0) }: RawMember): Buffer {
  return Buffer.concat([bytes.subarray(0, 50_000), Buffer.from('wrong'), bytes.subarray(50_005)]);
}

/** Writes an archive into a named pipe, and waits behind its first layer. */
async function feed(pipe: string, members: readonly RawMember[], hold?: () => Promise<void>): Promise<void> {
  await write(createWriteStream(pipe), members, hold);
}

async function write(output: Writable, members: readonly RawMember[], hold?: () => Promise<void>): Promise<void> {
  const archive = tarOf(members);
  const firstLayer = members.findIndex(isLayer);
  // Without the two blocks of zeros that end an archive.
  const held = tarOf(members.slice(0, firstLayer + 1)).length - 1024;
  async function* pieces(): AsyncGenerator<Buffer> {
    yield archive.subarray(0, held);
    await hold?.();
    yield archive.subarray(held);
  }
  await pipeline(Readable.from(pieces()), output);
}

function assertHolds(registry: TestRegistry, repository: string, { manifest, instances, blobs }: TestImage): void {
  for (const { digest, bytes } of [manifest, ...instances])
    assert.deepEqual(registry.manifest(repository, digest)?.bytes, bytes);
  for (const [digest, bytes] of blobs) assert.deepEqual(registry.blob(repository, digest), bytes);
  assert.equal(registry.blobs(repository).length, blobs.size);
}

/** One HEAD at most, one upload, and no request after it is there. */
function assertSentOnce(registry: TestRegistry, digest: Digest): void {
  const path = new RegExp(digest.replace(':', '(?::|%3A)'));
  const methods = registry.select({ path }).map(({ method }) => method);
  assert.ok(methods.filter((method) => method === 'HEAD').length <= 1, methods.join());
  assert.equal(methods.filter((method) => method === 'PUT').length, 1, methods.join());
  assert.equal(methods.at(-1), 'PUT');
}
