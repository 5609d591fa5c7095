import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { buildImage } from '../images.ts';
import { startRegistry, type TestRegistry } from '../registry.ts';
import { hostedRegistries, publicSources } from './index.ts';

const MIB = 1024 * 1024;
const unknown = digestOf(Buffer.from('nothing'));

interface Asked {
  readonly method?: string;
  readonly body?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

type Ask = (path: string, asked?: Asked) => Promise<Response>;

interface Stage extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly ask: Ask;
}

/** Starts the server of a shape, without its names and authentication. */
async function start(name: string): Promise<Stage> {
  const shape = [...hostedRegistries, ...publicSources].find((one) => one.name === name);
  assert.ok(shape, name);
  const { auth: _auth, names: _names, ...options } = shape.options;
  const registry = await startRegistry({ ...options, leavesSessions: true });
  registry.create('app');
  const ask: Ask = (path, { method = 'GET', body, headers = {} } = {}) =>
    fetch(new URL(path, registry.url), { method, headers, redirect: 'manual', ...(body && { body }) });
  return { registry, ask, [Symbol.asyncDispose]: () => registry.close() };
}

/** Opens an upload. @returns where it is. */
async function open(ask: Ask): Promise<string> {
  return (await ask('/v2/app/blobs/uploads/', { method: 'POST' })).headers.get('location') ?? '';
}

test('Amazon ECR answers a PATCH with 201 and a Range that stays behind', async () => {
  await using stage = await start('Amazon ECR');
  const { ask } = stage;
  const answer = await ask(await open(ask), { method: 'PATCH', body: Buffer.alloc(10) });
  assert.deepEqual([answer.status, answer.headers.get('range')], [201, '0-0']);
  assert.equal((await ask('/v2/new/blobs/uploads/', { method: 'POST' })).status, 404);
});

test('GHCR refuses a large PATCH with a Content-Range, and takes one without', async () => {
  await using stage = await start('GitHub (GHCR)');
  const { ask } = stage;
  const body = Buffer.alloc(5 * MIB);
  const ranged = { method: 'PATCH', body, headers: { 'content-range': `0-${body.length - 1}` } };
  assert.equal((await ask(await open(ask), ranged)).status, 416);
  assert.equal((await ask(await open(ask), { method: 'PATCH', body })).status, 202);
});

test('Google Artifact Registry takes one PATCH an upload, on a path of its own', async () => {
  await using stage = await start('Google Artifact Registry');
  const { ask } = stage;
  const location = await open(ask);
  assert.match(location, /^\/artifacts-uploads\//);
  const [one, two] = [
    await ask(location, { method: 'PATCH', body: Buffer.alloc(10) }),
    await ask(location, { method: 'PATCH', body: Buffer.alloc(10) }),
  ];
  assert.deepEqual([one.status, two.status], [202, 400]);
});

test('Azure limits the size of a request', async () => {
  await using stage = await start('Azure (ACR)');
  const { ask } = stage;
  const location = await open(ask);
  assert.match(location, /\?_state=/);
  assert.equal((await ask(location, { method: 'PATCH', body: Buffer.alloc(3 * MIB) })).status, 413);
});

for (const [name, status] of [
  ['Docker Hub', 400],
  ['Harbor', 400],
  ['GitLab', 401],
  ['Amazon ECR', 202],
] as const) {
  test(`${name} answers ${status} to a mount from a repository that is not there`, async () => {
    await using stage = await start(name);
    const { ask } = stage;
    const query = `mount=${unknown}&from=nowhere`;
    assert.equal((await ask(`/v2/app/blobs/uploads/?${query}`, { method: 'POST' })).status, status);
  });
}

test('Artifactory forbids a blob that is not there, and knows no PUT with a whole blob', async () => {
  await using stage = await start('Artifactory');
  const { ask } = stage;
  assert.equal((await ask(`/v2/app/blobs/${unknown}`, { method: 'HEAD' })).status, 403);
  const body = Buffer.from('nothing');
  assert.equal((await ask(`${await open(ask)}?digest=${unknown}`, { method: 'PUT', body })).status, 404);
});

test('registry.k8s.io sends everything on to a host that refuses credentials', async () => {
  await using stage = await start('registry.k8s.io');
  const { registry, ask } = stage;
  registry.seed('app', 'v1', buildImage({ layers: [] }));
  const answer = await ask('/v2/app/manifests/v1');
  const location = answer.headers.get('location') ?? '';
  assert.deepEqual([answer.status, new URL(location).origin], [307, registry.storageUrl]);
  const accept = '*/*';
  const statuses = [{}, { authorization: 'Bearer x' }].map(
    async (headers) => (await ask(location, { headers: { accept, ...headers } })).status,
  );
  assert.deepEqual(await Promise.all(statuses), [200, 400]);
});
