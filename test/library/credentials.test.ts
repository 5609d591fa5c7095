import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MediaType } from '../../src/manifest/media-types.ts';
import { digestOf } from '../../src/digest/digest.ts';
import type { EndpointOptions } from '../../src/index.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const bearer = { kind: 'bearer', username: 'user', password: 'secret' } as const;
const basic = { kind: 'basic', username: 'user', password: 'secret' } as const;

/** An auth file, as `docker login` writes it. */
async function writeAuthFile(home: TestHome, registry: TestRegistry, password = 'secret'): Promise<string> {
  const path = join(home.path, `auth-${password}.json`);
  const auth = Buffer.from(`user:${password}`).toString('base64');
  await writeFile(path, JSON.stringify({ auths: { [registry.host]: { auth } } }));
  return path;
}

const ways: Readonly<Record<string, (home: TestHome, registry: TestRegistry) => Promise<EndpointOptions>>> = {
  'by name and password': async () => ({ username: 'user', password: 'secret' }),
  'by an auth file': async (home, registry) => ({ authFile: await writeAuthFile(home, registry) }),
  'by name and password before an auth file': async (home, registry) => ({
    username: 'user',
    password: 'secret',
    authFile: await writeAuthFile(home, registry, 'wrong'),
  }),
};
for (const [how, endpointOf] of Object.entries(ways)) {
  for (const auth of [basic, bearer]) {
    test(`logs in to a registry that wants ${auth.kind}, ${how}`, async (t) => {
      const home = await openHome(t);
      await using from = await startRegistry();
      await using to = await startRegistry({ auth });
      await using copier = new TestCopier(home);
      from.seed('app', 'v1', image);
      const destination = { plainHttp: true, ...(await endpointOf(home, to)) };
      await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { destination });
      assert.deepEqual(to.manifest('copy', 'v1'), image.manifest);
      assert.ok(
        from.requests.every(({ authorization }) => !authorization),
        'the other side hears nothing of it',
      );
    });
  }
}

test('finds credentials where the environment of the copier says', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry({ auth: basic });
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  const env = { ...home.env, REGISTRY_AUTH_FILE: await writeAuthFile(home, from) };
  await using copier = new TestCopier(home, { env });
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  const source = { plainHttp: true, noCreds: true };
  await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v2'), { source }), {
    kind: 'denied',
    side: 'source',
  });
});

test('sends a bearer token as it was given, and asks for none', async (t) => {
  const auth = { kind: 'bearer' } as const;
  await using from = await startRegistry({ auth });
  await using to = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  from.seed('app', 'v1', image);
  const token = await fetch(`${from.url}/token?scope=repository:app:pull`).then(async (answer) => {
    const { token: value } = (await answer.json()) as { token: string };
    return value;
  });
  from.reset();
  const source = { plainHttp: true, registryToken: token };
  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { source });
  assert.equal(from.tokens.length, 0);
  assert.ok(
    from.requests.every(({ headers }) => headers.authorization === `Bearer ${token}` || !headers.authorization),
  );
});

test('says that a registry does not let one in, with which side and what to do', async (t) => {
  for (const auth of [basic, bearer]) {
    await using from = await startRegistry();
    await using to = await startRegistry({ auth });
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', image);
    const destination = { plainHttp: true, username: 'user', password: 'wrong' };
    await assert.rejects(copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'), { destination }), (error: Error) => {
      const { kind, side, hint } = error as Error & { kind?: string; side?: string; hint?: string };
      assert.deepEqual([kind, side], ['denied', 'destination']);
      assert.match(hint ?? '', /^check the user name and password/);
      assert.match(
        error.cause instanceof Error ? error.cause.message : error.message,
        /; credentials sent: user user$/,
      );
      assert.doesNotMatch(error.message, /wrong/);
      return true;
    });
    assert.deepEqual(to.tags('copy'), []);
  }
});

test('asks the URLs of a foreign layer without credentials, for a directory alone (behaviour 32)', async (t) => {
  const home = await openHome(t);
  await using elsewhere = await startRegistry();
  await using from = await startRegistry({ auth: basic });
  await using to = await startRegistry();
  await using copier = new TestCopier(home, { endpoint: { username: 'user', password: 'secret' } });
  const [layer] = [...image.blobs].slice(-1);
  assert.ok(layer !== undefined);
  elsewhere.seedBlob('windows', layer[1]);
  const foreign = withForeignLayer(`${elsewhere.url}/v2/windows/blobs/${layer[0]}`);
  from.seed('app', 'v1', foreign);
  from.remove('app', layer[0]);

  await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
  assert.equal(elsewhere.count(), 0);
  assert.equal(to.blob('copy', layer[0]), undefined);
  assert.deepEqual(to.manifest('copy', 'v1')?.bytes, foreign.manifest.bytes);

  const { blobs } = await copier.copy(at(from, 'app:v1'), `dir:${home.path}/image`);
  assert.equal(blobs.copied, 2);
  assert.deepEqual(
    elsewhere.requests.map(({ method, authorization }) => ({ method, authorization })),
    [{ method: 'GET', authorization: false }],
  );
});

function withForeignLayer(url: string): typeof image {
  const layerMediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  const built = buildImage({ layers: { count: 1, size: 1000 }, format: 'docker', layerMediaType });
  return rebuiltWith(built, (document) => {
    Object.assign(document.layers[0] ?? {}, { mediaType: MediaType.ociForeignLayerGzip, urls: [url] });
  });
}

function rebuiltWith(built: typeof image, change: (document: { layers: object[] }) => void): typeof image {
  const document = JSON.parse(String(built.manifest.bytes)) as { layers: object[] };
  change(document);
  const bytes = Buffer.from(JSON.stringify(document));
  return { ...built, manifest: { ...built.manifest, bytes, digest: digestOf(bytes) } };
}

for (const status of [403, 404]) {
  test(`logs in inside one registry that hides both images by ${status} without a challenge`, async (t) => {
    await using registry = await startRegistry();
    await using copier = new TestCopier(await openHome(t), { endpoint: { username: 'user', password: 'secret' } });
    registry.seed('app', 'v1', image);
    const isBare = ({ authorization }: { readonly authorization: boolean }): boolean => !authorization;
    const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
    const isHidden = { path: /manifests/, when: isBare };
    registry.behave({ match: { path: /\/v2\/$/, when: isBare }, ...challenge });
    // Both are under way before one is answered.
    registry.behave({ match: { ...isHidden, times: 2 }, hold: registry.until(() => registry.count(isHidden) === 2) });
    registry.behave({ match: { when: isBare }, status });
    await copier.copy(at(registry, 'app:v1'), at(registry, 'copy:v1'));
    assert.equal(registry.manifest('copy', 'v1')?.digest, image.manifest.digest);
    assert.equal(registry.count({ path: /\/v2\/$/ }), 1);
  });
}
