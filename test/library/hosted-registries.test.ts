import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { exitStatusOf } from '../../src/cli/error-report.ts';
import {
  checkLogin,
  getImageDigest,
  ImgcopyError,
  listTags,
  type CopyOptions,
  type CopyResult,
  type EndpointOptions,
} from '../../src/index.ts';
import { zstdChunkedLayer } from '../support/chunked-layers.ts';
import { hostedRegistries, publicSources, type HostedShape } from '../support/hosted/index.ts';
import { buildImage, buildIndex, randomBytes, type TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const MIB = 1024 * 1024;

/** An image with a layer that is sent at once, one that is streamed, and one with a table of contents. */
function imageFor(architecture: 'amd64' | 'arm64', version: number): TestImage {
  const files = Array.from({ length: 12 }, (_, index) => {
    const seed = index < 10 ? `${architecture} ${index}` : `${architecture} ${index} ${version}`;
    return { name: `usr/lib/${index}`, content: randomBytes(seed, 250_000) };
  });
  const chunked = zstdChunkedLayer(files);
  return buildImage({
    layers: [randomBytes(`small ${architecture} ${version}`, 1000), randomBytes('streamed', 5 * MIB), chunked.bytes],
    layerAnnotations: [undefined, undefined, chunked.info.annotations],
    platform: { os: 'linux', architecture },
  });
}

const PLATFORMS = ['amd64', 'arm64'] as const;

function indexOf(version: number): TestImage {
  return buildIndex({
    images: PLATFORMS.map((architecture) => ({
      image: imageFor(architecture, version),
      platform: { os: 'linux', architecture },
    })),
  });
}

const [first, second] = [indexOf(1), indexOf(2)];
const small = buildImage({ layers: [randomBytes('small', 1000)] });

interface Stage extends AsyncDisposable {
  readonly hosted: TestRegistry;
  /** A plain registry without authentication. */
  readonly other: TestRegistry;
  readonly home: TestHome;
  /** Copies with a copier of its own. */
  readonly copy: (from: string, to: string, options?: CopyOptions & { readonly user?: false }) => Promise<CopyResult>;
}

/** The hosted registry under its public names, and another one. */
async function openStage(t: TestContext, shape: HostedShape): Promise<Stage> {
  const hosted = await startRegistry(shape.options);
  const other = await startRegistry();
  const home = await openHome(t);
  const reached: TestHome = { ...home, env: { ...home.env, HTTP_PROXY: hosted.proxyUrl } };
  if (shape.options.repositoriesPreexist) for (const name of [shape.repository, shape.second]) hosted.create(name);
  return {
    hosted,
    other,
    home: reached,
    copy: async (from, to, { user, ...options } = {}) => {
      await using copier = new TestCopier(reached);
      const endpointAt = (name: string): EndpointOptions => {
        const isHosted = name.startsWith(`docker://${hosted.host}/`);
        return { plainHttp: true, noCreds: user === false, ...(isHosted && user !== false ? shape.user : {}) };
      };
      return await copier.copy(from, to, { source: endpointAt(from), destination: endpointAt(to), ...options });
    },
    [Symbol.asyncDispose]: async () => {
      await other.close();
      await hosted.close();
    },
  };
}

function assertHolds(registry: TestRegistry, repository: string, tag: string, image: TestImage): void {
  assert.deepEqual(registry.manifest(repository, tag), image.manifest);
  for (const instance of image.instances) assert.deepEqual(registry.manifest(repository, instance.digest), instance);
  for (const [digest, bytes] of image.blobs) assert.ok(registry.blob(repository, digest)?.equals(bytes), digest);
}

/** How a copy fails. */
async function failureOf(copying: Promise<CopyResult>): Promise<ImgcopyError> {
  const error = await copying.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ImgcopyError, `the copy succeeded, or failed with ${String(error)}`);
  return error;
}

/** No host but the registry and its token server is shown credentials. */
function assertNoCredentialsElsewhere({ hosted }: Stage, shape: HostedShape): void {
  const realm = shape.options.auth?.realm;
  const own = [shape.options.names?.registry ?? shape.options.names?.reference, realm && new URL(realm).host];
  const others = hosted.requests.filter(({ host, authorization }) => authorization && !own.includes(host));
  assert.deepEqual(
    others.map(({ host, path }) => `${host}${path}`),
    [],
  );
}

for (const shape of [...hostedRegistries, ...publicSources]) {
  const { name, repository, missing, forbidden, user } = shape;

  describe(`${name} as the source`, { concurrency: 2 }, () => {
    test('gives an index with all its layers, and an unchanged one costs no blob', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      hosted.seed(repository, 'v1', first);
      await copy(at(hosted, `${repository}:v1`), at(other, 'app:v1'));
      assertHolds(other, 'app', 'v1', first);
      assertNoCredentialsElsewhere(stage, shape);
      hosted.reset();
      const again = await copy(at(hosted, `${repository}:v1`), at(other, 'app:v1'));
      assert.equal(again.skipped, 'same');
      assert.equal(hosted.count({ path: /\/blobs\// }), 0);
      if (shape.metersPulls) assert.equal(hosted.count({ method: 'GET', path: /\/manifests\// }), 0);
    });

    test('gives the next version of chunked layers, and rests of layers from URLs that have expired', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      hosted.seed(repository, 'v1', first);
      hosted.seed(repository, 'v2', second);
      await copy(at(hosted, `${repository}:v1`), at(other, 'app:v1'));
      if (shape.options.redirectBlobs) hosted.settings.redirectBlobs = 'single-use';
      hosted.behave({
        match: { method: 'GET', path: /\/(storage|blobs)\//, when: isContent, times: 2 },
        cutAfterBytes: 20_000,
      });
      const next = await copy(at(hosted, `${repository}:v2`), at(other, 'app:v1'), { partial: 'always' });
      assertHolds(other, 'app', 'v1', second);
      assert.equal(next.blobs.partial, PLATFORMS.length);
    });

    test('is waited for where it limits its rate (behaviour 45)', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      hosted.seed(repository, 'v1', small);
      hosted.behave({ match: { method: 'GET', path: /\/manifests\//, times: 1 }, ...shape.rateLimit });
      const result = await copy(at(hosted, `${repository}:v1`), at(other, 'app:v1'));
      assert.equal(result.retries, 1);
      assertHolds(other, 'app', 'v1', small);
    });

    const { refreshToken } = shape.options.auth ?? {};
    if (refreshToken !== undefined) {
      test('gives tokens for an identity token, by POST (behaviour 40)', async (t) => {
        await using stage = await openStage(t, shape);
        const { hosted, other, home } = stage;
        hosted.seed(repository, 'v1', small);
        const authFile = join(home.path, 'auth.json');
        await writeFile(authFile, JSON.stringify({ auths: { [hosted.host]: { identitytoken: refreshToken } } }));
        await using copier = new TestCopier(home, { endpoint: { authFile } });
        await copier.copy(at(hosted, `${repository}:v1`), at(other, 'app:v1'));
        assertHolds(other, 'app', 'v1', small);
        assert.deepEqual([...new Set(hosted.tokens.map(({ method }) => method))], ['POST']);
      });
    }

    test('lists its tags, tells a digest, and says whether it accepts credentials', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, home } = stage;
      for (const tag of ['v1', 'v2']) hosted.seed(repository, tag, small);
      const options = { env: home.env, endpoint: { plainHttp: true, ...user } };
      const tags: string[] = [];
      for await (const tag of listTags(at(hosted, repository), options)) tags.push(tag);
      assert.deepEqual(tags, ['v1', 'v2']);
      assert.equal(await getImageDigest(at(hosted, `${repository}:v2`), options), small.manifest.digest);

      const answerTo = async (endpoint: EndpointOptions): Promise<string> =>
        (await checkLogin(hosted.host, { env: home.env, endpoint: { plainHttp: true, ...endpoint } })).answer;
      const { auth } = shape.options;
      const isOpen = auth === undefined || auth.username === undefined || auth.anonymousPull === true;
      assert.equal(await answerTo({ noCreds: true }), isOpen ? 'anonymous' : 'refused');
      if (user === undefined) return;
      assert.equal(await answerTo(user), 'accepted');
      assert.equal(await answerTo({ ...user, password: 'wr0ng' }), 'refused');
    });

    test('says what is missing, and what is forbidden, with a hint', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      hosted.seed(repository, 'v1', small);
      if (forbidden !== undefined) hosted.seed(forbidden, 'v1', small);
      const cases: readonly (readonly [image: string, status: number, options?: { readonly user?: false }])[] = [
        [`${repository}:nope`, missing.tag],
        [`${repository}-nope:v1`, missing.repository],
        [`${repository}-nope:v1`, missing.anonymous, { user: false }],
        ...(forbidden === undefined ? [] : ([[`${forbidden}:v1`, 4]] as const)),
      ];
      for (const [image, status, options] of cases) {
        const error = await failureOf(copy(at(hosted, image), at(other, 'app:v1'), options));
        assert.equal(exitStatusOf(error), status, `${image}: ${error.message} ${String(error.cause)}`);
        assert.ok(error.hint !== undefined, image);
        const mayBeMissing = status === 4 && image !== `${forbidden}:v1`;
        if (mayBeMissing && shape.hidesMissing) assert.match(error.hint, /an image that does not exist/);
        for (const secret of user === undefined ? [] : [user.password])
          assert.ok(!`${error.message}${String(error.cause)}`.includes(secret));
      }
      assert.deepEqual(other.tags('app'), []);
    });
  });
}

/** Whether an answer is a blob, not a redirect to one. */
function isContent({ server, path }: { readonly server: string; readonly path: string }): boolean {
  return server === 'storage' || path.includes('/blobs/');
}

for (const shape of hostedRegistries) {
  const { name, repository, second: mountedIn, forbidden } = shape;

  describe(`${name} as the destination`, { concurrency: 2 }, () => {
    test('takes an index with all its layers, a next version of it, and an unchanged one without a blob', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      other.seed('app', 'v1', first);
      other.seed('app', 'v2', second);
      await copy(at(other, 'app:v1'), at(hosted, `${repository}:v1`));
      assertHolds(hosted, repository, 'v1', first);
      const next = await copy(at(other, 'app:v2'), at(hosted, `${repository}:v1`), { partial: 'always' });
      assertHolds(hosted, repository, 'v1', second);
      assert.equal(next.blobs.partial, PLATFORMS.length);
      assertNoCredentialsElsewhere(stage, shape);
      hosted.reset();
      other.reset();
      const again = await copy(at(other, 'app:v2'), at(hosted, `${repository}:v1`));
      assert.equal(again.skipped, 'same');
      assert.deepEqual(writesOf(hosted), []);
      assert.equal(other.count({ path: /\/blobs\// }), 0);
    });

    test('gets a further tag without a blob, and an image of another repository of its own (behaviours 67 and 68)', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, copy } = stage;
      hosted.seed(repository, 'v1', first);
      await copy(at(hosted, `${repository}:v1`), at(hosted, `${repository}:stable`));
      assertHolds(hosted, repository, 'stable', first);
      assert.deepEqual(
        writesOf(hosted).filter((path) => path.includes('/blobs/')),
        [],
      );
      const result = await copy(at(hosted, `${repository}:v1`), at(hosted, `${mountedIn}:v1`));
      assertHolds(hosted, mountedIn, 'v1', first);
      assert.equal(result.blobs.mounted, shape.mounts ? result.blobs.total : 0);
      assertNoCredentialsElsewhere(stage, shape);
    });

    test('takes an image whose upload was cut, or met its limit of requests', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      other.seed('app', 'v1', first);
      hosted.behave({ match: { method: 'PATCH', times: 1 }, resetAfterRequestBytes: MIB });
      hosted.behave({ match: { method: 'POST', path: /\/uploads\//, times: 1 }, ...shape.rateLimit });
      hosted.behave({ match: { method: 'PUT', path: /\/manifests\//, times: 1 }, ...shape.rateLimit });
      await copy(at(other, 'app:v1'), at(hosted, `${repository}:v1`));
      assertHolds(hosted, repository, 'v1', first);
    });

    test('refuses what the user may not write, and nothing of it is sent', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      other.seed('app', 'v1', small);
      if (forbidden === undefined) return;
      for (const options of [{}, { user: false }] as const) {
        const error = await failureOf(copy(at(other, 'app:v1'), at(hosted, `${forbidden}:v1`), options));
        assert.equal(exitStatusOf(error), 4, error.message);
        assert.ok(error.hint !== undefined);
      }
      assert.deepEqual([hosted.blobs(forbidden), hosted.tags(forbidden)], [[], []]);
    });

    if (shape.options.repositoriesPreexist) {
      test('wants the repository to be created first, and the hint says so', async (t) => {
        await using stage = await openStage(t, shape);
        const { hosted, other, copy } = stage;
        other.seed('app', 'v1', small);
        const error = await failureOf(copy(at(other, 'app:v1'), at(hosted, 'not-created:v1')));
        assert.equal(exitStatusOf(error), 3);
        assert.match(error.hint ?? '', /need the repository to exist before the first push/);
      });
    }

    test('says that a manifest is too large for it', async (t) => {
      await using stage = await openStage(t, shape);
      const { hosted, other, copy } = stage;
      hosted.settings.maxManifestBytes = 100;
      other.seed('app', 'v1', small);
      const error = await failureOf(copy(at(other, 'app:v1'), at(hosted, `${repository}:v1`)));
      assert.match(error.hint ?? '', /limits the size of manifests/);
    });

    const { immutableTag } = shape;
    if (immutableTag !== undefined) {
      test('does not replace an immutable tag, and copies the same image once more without complaint', async (t) => {
        await using stage = await openStage(t, shape);
        const { hosted, other, copy } = stage;
        hosted.settings.immutableTags = immutableTag;
        other.seed('app', 'v1', small);
        other.seed('app', 'v2', first);
        await copy(at(other, 'app:v1'), at(hosted, `${repository}:v1`));
        assert.equal((await copy(at(other, 'app:v1'), at(hosted, `${repository}:v1`))).skipped, 'same');
        const error = await failureOf(copy(at(other, 'app:v2'), at(hosted, `${repository}:v1`)));
        assert.equal(error.code, 'ERR_TAG_IMMUTABLE');
        assertHolds(hosted, repository, 'v1', small);
      });
    }
  });
}

function writesOf(registry: TestRegistry): readonly string[] {
  return registry.requests
    .filter(({ method, host, path }) => !['GET', 'HEAD'].includes(method) && !isToken(host, path))
    .map(({ method, path }) => `${method} ${path}`);
}

function isToken(host: string, path: string): boolean {
  return /token|\/auth\b/.test(`${host}${path}`);
}
