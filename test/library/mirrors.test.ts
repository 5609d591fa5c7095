import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { createCopier, type CopierOptions, type EndpointOptions } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry, type RequestMatch, type TestRegistry } from '../support/registry.ts';
import { registryTable, writeRegistriesConf } from '../support/registries-conf.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const layers = ['first', 'second'].map((name) => randomBytes(`mirrors ${name}`, 2000));
const [layer = Buffer.alloc(0), other = Buffer.alloc(0)] = layers;
const image = buildImage({ layers });
const NAME = 'origin.test/team/app:v1';
const isManifest: RequestMatch = { path: /\/manifests\// };

interface Stage {
  readonly copier: TestCopier;
  readonly mirror: TestRegistry;
  readonly origin: TestRegistry;
  readonly to: TestRegistry;
}

/** origin.test is at `origin/…` of one registry, and another one has it as `mirror/…`; both have the image. */
async function open(
  t: TestContext,
  options: CopierOptions & { readonly endpoint?: EndpointOptions; readonly conf?: (stage: Hosts) => string } = {},
): Promise<Stage> {
  const { conf = usual, ...rest } = options;
  const [mirror, origin, to] = await Promise.all([startRegistry(), startRegistry(), startRegistry()]);
  for (const registry of [mirror, origin, to]) t.after(() => registry[Symbol.asyncDispose]());
  const home = await openHome(t);
  const { env } = await writeRegistriesConf(t, conf({ mirror: mirror.host, origin: origin.host, to: to.host }));
  const copier = new TestCopier(
    { ...home, env: { ...home.env, ...env } },
    { endpoint: { plainHttp: undefined }, ...rest },
  );
  t.after(() => copier[Symbol.asyncDispose]());
  mirror.seed('mirror/team/app', 'v1', image);
  origin.seed('origin/team/app', 'v1', image);
  return { copier, mirror, origin, to };
}

interface Hosts {
  readonly mirror: string;
  readonly origin: string;
  readonly to: string;
}

function usual({ mirror, origin }: Hosts): string {
  return registryTable('origin.test', `${origin}/origin`, [`${mirror}/mirror`]);
}

test('reads all of an image from the mirror, and says so in result and events (behaviour 56)', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  const result = await copier.copy(NAME, at(to, 'copy:v1'));
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
  assert.equal(origin.count(), 0);
  assert.equal(result.source, `docker://${NAME}`);
  const address = `${mirror.host}/mirror/team/app`;
  const bytes = [...image.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
  assert.deepEqual(result.servedFrom, [{ address, manifests: 1, blobs: image.blobs.size, bytes }]);
  const origins = copier.events.flatMap((event) =>
    event.type === 'blob-done' || event.type === 'manifest' ? [event.from] : [],
  );
  assert.deepEqual(new Set(origins), new Set([address]));
});

test('reads an image from the registry itself where the mirror does not have it', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  mirror.remove('mirror/team/app', 'v1');
  const result = await copier.copy(NAME, at(to, 'copy:v1'));
  assert.deepEqual(
    result.servedFrom.map(({ address, blobs }) => [address, blobs]),
    [[`${origin.host}/origin/team/app`, image.blobs.size]],
  );
  assert.equal(mirror.count(), 1);
  const fallbacks = copier.events.filter(({ type }) => type === 'fallback');
  assert.equal(fallbacks.length, 1);
  assert.match(
    JSON.stringify(fallbacks),
    new RegExp(`"address":"${mirror.host}/mirror/team/app".*404.*"next":"${origin.host}/origin/team/app"`),
  );
});

test('reads one blob from the registry itself where the mirror lacks it', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  mirror.remove('mirror/team/app', digestOf(layer));
  const result = await copier.copy(NAME, at(to, 'copy:v1'));
  assert.deepEqual(
    result.servedFrom.map(({ address, manifests, blobs }) => [address, manifests, blobs]),
    [
      [`${mirror.host}/mirror/team/app`, 1, 2],
      [`${origin.host}/origin/team/app`, 0, 1],
    ],
  );
  assert.deepEqual(to.blob('copy', digestOf(layer)), layer);
});

test('reads an instance of an index from the registry itself where the mirror lacks it', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  const index = buildIndex({ images: [{ image }, { image: buildImage({ layers: [other] }) }] });
  mirror.seed('mirror/team/app', 'v1', index);
  origin.seed('origin/team/app', 'v1', index);
  const [instance = assert.fail()] = index.instances;
  mirror.remove('mirror/team/app', instance.digest);
  const result = await copier.copy(NAME, at(to, 'copy:v1'));
  assert.equal(result.digest, index.manifest.digest);
  assert.equal(origin.count(isManifest), 1);
});

test('a blob that the mirror cuts is continued from the registry itself', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  const path = new RegExp(`blobs/${digestOf(layer)}`);
  mirror.behave({ match: { method: 'GET', path }, cutAfterBytes: 700 });
  await copier.copy(NAME, at(to, 'copy:v1'), { partial: 'never' });
  assert.deepEqual(to.blob('copy', digestOf(layer)), layer);
  assert.equal(mirror.count({ method: 'GET', path }), 1);
  const [rest] = origin.requests.filter((request) => path.test(request.path));
  assert.equal(rest?.headers['range'], 'bytes=700-');
});

test('wrong bytes of a blob are asked for once more, of the registry itself', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  const path = new RegExp(`blobs/${digestOf(layer)}`);
  mirror.behave({ match: { method: 'GET', path }, status: 200, body: 'x'.repeat(layer.length) });
  await copier.copy(NAME, at(to, 'copy:v1'));
  assert.deepEqual(to.blob('copy', digestOf(layer)), layer);
  assert.deepEqual([mirror.count({ method: 'GET', path }), origin.count({ method: 'GET', path })], [1, 1]);
});

test('wrong bytes of a manifest are asked for once more, of the registry itself', async (t) => {
  const { copier, mirror, origin, to } = await open(t);
  mirror.behave({ match: isManifest, status: 200, body: 'a page of a proxy' });
  await copier.copy(`origin.test/team/app@${image.manifest.digest}`, at(to, 'copy:v1'));
  assert.deepEqual([mirror.count(isManifest), origin.count(isManifest)], [1, 1]);
});

test('a mirror that fails is asked once, and again with all retries where the registry cannot be reached', async (t) => {
  const conf = ({ mirror }: Hosts): string => registryTable('origin.test', '127.0.0.1:1', [`${mirror}/mirror`]);
  const { copier, mirror, to } = await open(t, { conf });
  mirror.behave({ match: { ...isManifest, times: 3 }, status: 503 });
  await copier.copy(NAME, at(to, 'copy:v1'));
  assert.equal(mirror.count(isManifest), 4);
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
});

test('a mirror that is the destination is not read', async (t) => {
  const conf = ({ to, origin }: Hosts): string => registryTable('origin.test', `${origin}/origin`, [`${to}/cache`]);
  const { copier, origin, to } = await open(t, { conf });
  to.seed('cache/team/app', 'v1', buildImage({ layers: [other] }));
  const result = await copier.copy(NAME, at(to, 'cache/team/app:v1'));
  assert.equal(result.digest, image.manifest.digest);
  assert.ok(origin.count(isManifest) > 0);
});

test('a destination is written where its name says, whatever mirrors there are', async (t) => {
  const { copier, mirror, to, origin } = await open(t, {
    conf: (hosts) => registryTable(hosts.to, hosts.to, [`${hosts.mirror}/mirror`]) + usual(hosts),
  });
  await copier.copy(NAME, at(to, 'copy:v1'));
  assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
  assert.equal(mirror.count({ method: 'PUT' }) + origin.count(), 0);
});

test('inspect, digest, manifest and tags ask the mirror first', async (t) => {
  const { mirror, origin, to } = await open(t);
  const { env } = await writeRegistriesConf(t, usual({ mirror: mirror.host, origin: origin.host, to: to.host }));
  await using copier = createCopier({ env, retryDelayMs: 1 });
  mirror.seed('mirror/team/app', 'v2', image);
  const tags = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    for await (const tag of copier.tags('origin.test/team/app')) found.push(tag);
    return found;
  };
  const ask = async (): Promise<void> => {
    assert.equal((await copier.inspect(NAME)).digest, image.manifest.digest);
    assert.equal(await copier.digest(NAME), image.manifest.digest);
    assert.equal((await copier.manifest(NAME)).digest, image.manifest.digest);
  };
  await ask();
  assert.deepEqual(await tags(), ['v1', 'v2']);
  assert.equal(origin.count(), 0);
  mirror.behave({ status: 500 });
  await ask();
  assert.deepEqual(await tags(), ['v1']);
});

test('registriesConf: false reads no configuration', async (t) => {
  const { copier, mirror, origin, to } = await open(t, { registriesConf: false });
  await assert.rejects(copier.copy(NAME, at(to, 'copy:v1'), { source: { plainHttp: true } }), {
    code: 'ERR_NAME_NOT_RESOLVED',
  });
  assert.equal(mirror.count() + origin.count(), 0);
});

test('a blocked registry is neither source nor destination, and nothing is asked', async (t) => {
  const conf = ({ origin }: Hosts): string => `[[registry]]\nlocation = "${origin}"\nblocked = true\n`;
  const { copier, origin, to } = await open(t, { conf });
  const blocked = { code: 'ERR_REGISTRY_BLOCKED', kind: 'denied' };
  await assert.rejects(copier.copy(at(origin, 'origin/team/app:v1'), at(to, 'copy:v1')), blocked);
  await assert.rejects(copier.copy(at(to, 'copy:v1'), at(origin, 'copy:v1')), blocked);
  assert.equal(origin.count() + to.count(), 0);
});
