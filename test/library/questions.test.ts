import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as contractErrors from '../../src/contract/errors.ts';
import * as library from '../../src/index.ts';
import { createCopier, isAbort, type Digest } from '../../src/index.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome } from './test-copier.ts';

const image = buildImage({ layers: [randomBytes('questions', 2000)] });
const login = { username: 'anna', password: 'secret' };
const TOKEN = { path: /^\/token/ };
const INSTANCE = { method: 'GET', path: /\/manifests\/sha256:/ };

test('the questions of a copier use the tokens and connections of its copies', async (t) => {
  const { env } = await openHome(t);
  await using from = await startRegistry({ auth: { kind: 'bearer', ...login } });
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  const endpoint = { plainHttp: true, ...login };
  await using copier = createCopier({ env });
  const { digest }: { digest: Digest } = await copier.copy(at(from, 'app:v1'), at(to, 'app:v1'), {
    source: endpoint,
    destination: { plainHttp: true },
  });
  assert.equal(from.count(TOKEN), 1);
  from.reset();

  assert.equal(await copier.digest(at(from, 'app:v1'), { endpoint }), digest);
  const description = await copier.inspect(at(from, 'app:v1'), { endpoint });
  assert.equal(description.layers?.length, 1);
  assert.deepEqual(await copier.manifest(at(from, 'app:v1'), { endpoint }), image.manifest);
  const tags = [];
  for await (const tag of copier.tags(at(from, 'app'), { endpoint })) tags.push(tag);
  assert.deepEqual(tags, ['v1']);
  assert.equal(from.count(TOKEN), 0);
  assert.equal(from.connections, 0);
});

test('a question reads as many manifests at a time as the jobs of its copier allow', async (t) => {
  const { env } = await openHome(t);
  await using registry = await startRegistry();
  const images = Array.from({ length: 8 }, (_, index) =>
    buildImage({ layers: { count: 1, size: 100 }, platform: { os: 'linux', architecture: `a${index}` } }),
  );
  registry.seed('app', 'v1', buildIndex({ images: images.map((one) => ({ image: one })) }));
  registry.behave({ match: { ...INSTANCE, times: 4 }, hold: registry.until(() => registry.count(INSTANCE) === 4) });
  await using copier = createCopier({ env, jobs: 1 });
  const { manifests } = await copier.inspect(at(registry, 'app:v1'), { endpoint: { plainHttp: true } });
  assert.equal(manifests?.length, 8);
  assert.equal(registry.peak(INSTANCE), 4);
});

test('a question that fails early asks for nothing more, and its copier answers the next one', async (t) => {
  const { env } = await openHome(t);
  await using registry = await startRegistry();
  const [broken, slow] = ['a', 'b'].map((architecture) =>
    buildImage({ layers: { count: 1, size: 100 }, platform: { os: 'linux', architecture } }),
  );
  assert.ok(broken !== undefined && slow !== undefined);
  registry.seed('app', 'v1', buildIndex({ images: [{ image: broken }, { image: slow }] }));
  registry.seed('app', 'v2', image);
  const isSlow = { method: 'GET', path: new RegExp(slow.manifest.digest) };
  registry.behave({ match: isSlow, stallAfterBytes: 0 });
  registry.behave({
    match: { method: 'GET', path: new RegExp(broken.manifest.digest) },
    status: 403,
    hold: registry.until(() => registry.count(isSlow) === 1),
  });
  await using copier = createCopier({ env });
  const endpoint = { plainHttp: true };
  await assert.rejects(copier.inspect(at(registry, 'app:v1'), { endpoint }), { kind: 'denied' });
  await registry.until(() =>
    registry.requests.some(({ path, outcome }) => isSlow.path.test(path) && outcome === 'aborted'),
  );
  assert.equal(await copier.digest(at(registry, 'app:v2'), { endpoint }), image.manifest.digest);
});

test('a question that is aborted rejects with an abort, which is no ImgcopyError', async (t) => {
  const { env } = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const controller = new AbortController();
  registry.behave({ match: { times: 1 }, stallAfterBytes: 0, call: () => controller.abort() });
  await using copier = createCopier({ env });
  const asked = copier.inspect(at(registry, 'app:v1'), { endpoint: { plainHttp: true }, signal: controller.signal });
  await assert.rejects(asked, (error: unknown) => isAbort(error) && !(error instanceof library.ImgcopyError));
});

test('every error class of the contract is exported', () => {
  const classes = Object.entries(contractErrors).filter(([name]) => name.endsWith('Error'));
  assert.ok(classes.length > 0);
  for (const [name, value] of classes) assert.equal(Reflect.get(library, name), value, name);
});
