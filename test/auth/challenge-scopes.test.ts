import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Authorizer } from '../../src/auth/authenticate.ts';
import { anna, clientOf, statusOf } from './authorized-client.ts';
import { type Answer, type SeenRequest, send, startServer, type TestServer } from './test-server.ts';

interface Gateway extends TestServer {
  /** The scopes of each token request, in their order. */
  readonly asked: () => readonly (readonly string[])[];
  /** Requests to the registry that it refused. */
  readonly refusals: () => number;
}

/** A registry that knows `/v2/<name>/…` as `real/<name>`, and refuses without `error=` what the token does not cover. */
async function startGateway(t: TestContext): Promise<Gateway> {
  let refusals = 0;
  const server = await startServer(t, (request): Answer => {
    const { path, query, headers } = request;
    if (path === '/token')
      return { status: 200, body: JSON.stringify({ token: query.getAll('scope').join('|') || 'none' }) };
    const needed =
      path === '/v2/' ? 'repository:user/image:pull' : `repository:real${repositoryOf(path)}:${actionsOf(request)}`;
    const granted = headers.authorization?.replace('Bearer ', '').split('|') ?? [];
    if (path === '/v2/' ? headers.authorization !== undefined : granted.includes(needed)) return { status: 200 };
    refusals += 1;
    return {
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="${server.origin}/token",service="s",scope="${needed}"` },
    };
  });
  return {
    ...server,
    asked: () => server.requests.filter(({ path }) => path === '/token').map(({ query }) => query.getAll('scope')),
    refusals: () => refusals,
  };
}

function repositoryOf(path: string): string {
  return path.replace(/^\/v2/, '').replace(/\/(?:manifests|blobs)\/.*$/, '');
}

function actionsOf({ method }: SeenRequest): string {
  return method === 'GET' ? 'pull' : 'pull,push';
}

const pull = ['repository:app:pull'];

test('a token is asked for with the scope that the challenge names, and ours after it', async (t) => {
  const gateway = await startGateway(t);
  const client = clientOf({ origin: gateway.origin, scopes: pull });
  const paths = [1, 2, 3].map((n) => `/v2/app/manifests/${n}`);
  assert.deepEqual(await Promise.all(paths.map((path) => statusOf(client(path)))), [200, 200, 200]);
  assert.deepEqual(gateway.asked(), [['repository:real/app:pull', 'repository:app:pull']]);
  assert.equal(gateway.refusals(), 1);
});

test('a client that knows the challenge learns the scope of its own repository from one refusal', async (t) => {
  const gateway = await startGateway(t);
  const authorizer = new Authorizer({ send });
  const clients = ['app', 'other'].map((name) => {
    const client = clientOf({ origin: gateway.origin, scopes: [`repository:${name}:pull`], authorizer });
    return () => statusOf(client(`/v2/${name}/manifests/1`));
  });
  for (const ask of [...clients, ...clients]) assert.equal(await ask(), 200);
  assert.deepEqual(gateway.asked().at(-1), ['repository:real/other:pull', 'repository:other:pull']);
  assert.equal(gateway.refusals(), 2);
});

test('a push after a pull is refused once, then continues with the wider scope', async (t) => {
  const gateway = await startGateway(t);
  const client = clientOf({ origin: gateway.origin, scopes: ['repository:app:pull,push'] });
  assert.equal(await statusOf(client('/v2/app/manifests/1')), 200);
  const post = { method: 'POST' } as const;
  for (const n of [1, 2]) assert.equal(await statusOf(client(`/v2/app/blobs/uploads/${n}`, post)), 200);
  assert.deepEqual(gateway.asked().at(-1), ['repository:real/app:pull,push', 'repository:app:pull,push']);
  assert.equal(gateway.refusals(), 2);
});

test('the scope in a challenge of the root is an example, as at GHCR, and is not asked for', async (t) => {
  const gateway = await startGateway(t);
  assert.equal(await statusOf(clientOf({ origin: gateway.origin, scopes: [], credentials: anna })('/v2/')), 200);
  assert.deepEqual(gateway.asked(), [[]]);
});

test('where the token server refuses the scope of the challenge, ours alone is asked for', async (t) => {
  const server = await startServer(t, ({ path, query, headers }): Answer => {
    if (path !== '/token' && headers.authorization === 'Bearer mine') return { status: 200 };
    if (path === '/token') {
      const isOurs = query.getAll('scope').join() === 'repository:app:pull';
      return isOurs ? { status: 200, body: '{"token":"mine"}' } : { status: 403 };
    }
    const challenge = `Bearer realm="${server.origin}/token",scope="repository:user/image:pull"`;
    return { status: 401, headers: { 'www-authenticate': challenge } };
  });
  const client = clientOf({ origin: server.origin, scopes: pull });
  assert.equal(await statusOf(client('/v2/app/manifests/1')), 200);
  const before = server.requests.length;
  assert.equal(await statusOf(client('/v2/app/manifests/2')), 200);
  assert.equal(server.requests.length, before + 1);
});

for (const headers of [
  ['Basic realm="b", Bearer realm="REALM"'],
  ['Bearer realm="REALM", Basic realm="b"'],
  ['Basic realm="b"', 'Bearer realm="REALM"'],
  ['Bearer realm="REALM"', 'Basic realm="b"'],
]) {
  test(`without credentials, Bearer is taken from ${headers.join(' | ')}`, async (t) => {
    const server = await startServer(t, (request): Answer => {
      if (request.path === '/token') return { status: 200, body: '{"token":"anonymous"}' };
      if (request.headers.authorization === 'Bearer anonymous') return { status: 200 };
      const offered = headers.map((header) => header.replace('REALM', `${server.origin}/token`));
      return { status: 401, headers: { 'www-authenticate': offered } };
    });
    assert.equal(await statusOf(clientOf({ origin: server.origin, scopes: pull })('/v2/app/manifests/1')), 200);
  });
}
