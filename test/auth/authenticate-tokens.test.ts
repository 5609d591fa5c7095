import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Authorizer } from '../../src/auth/authenticate.ts';
import { TokenRequestError } from '../../src/auth/token.ts';
import { collect } from '../../src/http/send/collect.ts';
import type { Send } from '../../src/http/send/send.ts';
import { Semaphore } from '../../src/io/semaphore.ts';
import { anna, answerOf, clientOf, statusOf } from './authorized-client.ts';
import { send, startServer } from './test-server.ts';
import { startTokenRegistry } from './token-registry.ts';

const scopes = ['repository:app:pull'];

test('concurrent requests of an origin meet one 401 and fetch one token for a set of scopes (behaviour 41)', async (t) => {
  const registry = await startTokenRegistry(t);
  const authorizer = new Authorizer({ send });
  const pull = { origin: registry.origin, scopes: ['repository:a:pull', 'repository:b:pull'] };
  const clients = [
    clientOf({ ...pull, authorizer }),
    clientOf({ ...pull, scopes: pull.scopes.toReversed(), authorizer }),
    clientOf({ origin: registry.origin, scopes: ['repository:c:pull,push'], authorizer }),
  ];
  const statuses = await Promise.all(
    clients.flatMap((client) => [1, 2, 3, 4].map((n) => statusOf(client(`/v2/${n}`)))),
  );
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.equal(registry.registryRequests().filter(({ headers }) => headers.authorization === undefined).length, 1);
  assert.equal(registry.tokenRequests().length, 2);
});

test('clients with different credentials do not share tokens', async (t) => {
  const registry = await startTokenRegistry(t);
  const authorizer = new Authorizer({ send });
  for (const credentials of [anna, { ...anna, password: 'other' }, undefined]) {
    await statusOf(clientOf({ origin: registry.origin, scopes, credentials, authorizer })('/v2/'));
  }
  assert.equal(registry.tokenRequests().length, 3);
});

test('a refused token that was cached is renewed once, for all who held it (behaviour 42)', async (t) => {
  const registry = await startTokenRegistry(t);
  const client = clientOf({ origin: registry.origin, scopes });
  await statusOf(client('/v2/'));
  registry.revoke();
  const body = Buffer.from('layer');
  const put = { method: 'PUT', body, bodyLength: body.length } as const;
  assert.deepEqual(await Promise.all([1, 2, 3].map((n) => statusOf(client(`/v2/${n}`, put)))), [200, 200, 200]);
  assert.equal(registry.tokenRequests().length, 2);
  const renewed = registry.registryRequests().filter(({ headers }) => headers.authorization === 'Bearer token-2');
  assert.deepEqual(
    renewed.map((request) => request.body),
    ['layer', 'layer', 'layer'],
  );
});

test('a token that is refused when it is new is not fetched again (behaviour 42)', async (t) => {
  const registry = await startTokenRegistry(t);
  const { challenge } = registry;
  const refusing = await startServer(t, () => ({ status: 401, headers: { 'www-authenticate': challenge } }));
  const client = clientOf({ origin: refusing.origin, scopes });
  assert.equal(await statusOf(client('/v2/')), 401);
  assert.equal(registry.tokenRequests().length, 1);
  assert.equal(await statusOf(client('/v2/')), 401);
  assert.equal(registry.tokenRequests().length, 2);
});

test('a token is renewed before a fifth of its life, or 15 seconds, is left (behaviours 41, 42)', async (t) => {
  for (const { expiresIn, good, stale } of [
    { expiresIn: 300, good: 240, stale: 241 },
    { expiresIn: 10, good: 45, stale: 46 },
  ]) {
    const registry = await startTokenRegistry(t, { expiresIn });
    let seconds = 1_000_000;
    const authorizer = new Authorizer({ send, now: () => seconds * 1000 });
    const client = clientOf({ origin: registry.origin, scopes, authorizer });
    await statusOf(client('/v2/'));
    seconds += good;
    await statusOf(client('/v2/'));
    assert.equal(registry.tokenRequests().length, 1);
    seconds += stale - good;
    await statusOf(client('/v2/'));
    assert.equal(registry.tokenRequests().length, 2);
    assert.equal(registry.registryRequests().at(-1)?.headers.authorization, 'Bearer token-2');
  }
});

for (const status of [401, 403]) {
  test(`insufficient_scope in a ${status} is answered with the advertised scope added (behaviour 43)`, async (t) => {
    const registry = await startTokenRegistry(t, {
      serve: (_request, granted) => {
        if (granted.includes('repository:app:delete')) return { status: 200 };
        const lacking = `${registry.challenge},scope="repository:app:delete",error="insufficient_scope"`;
        return { status, headers: { 'www-authenticate': lacking } };
      },
    });
    const client = clientOf({ origin: registry.origin, scopes });
    assert.equal(await statusOf(client('/v2/app/manifests/1', { method: 'DELETE' })), 200);
    assert.deepEqual(
      registry.tokenRequests().map(({ query }) => query.getAll('scope')),
      [['repository:app:pull'], ['repository:app:delete', 'repository:app:pull']],
    );
  });
}

test('insufficient_scope is retried once, and not for what was asked before (behaviour 43)', async (t) => {
  for (const { advertised, tokens } of [
    { advertised: 'repository:app:push', tokens: 2 },
    { advertised: 'repository:app:pull', tokens: 1 },
  ]) {
    const registry = await startTokenRegistry(t, {
      serve: () => ({
        status: 403,
        headers: { 'www-authenticate': `${registry.challenge},scope="${advertised}",error="insufficient_scope"` },
        body: 'why',
      }),
    });
    const client = clientOf({ origin: registry.origin, scopes });
    assert.deepEqual(await answerOf(client('/v2/app/blobs/uploads/', { method: 'POST' })), [403, 'why']);
    assert.equal(registry.tokenRequests().length, tokens);
  }
});

test('the refusal of a registry stands when its token server refuses the advertised scope, too (behaviour 43)', async (t) => {
  const registry = await startTokenRegistry(t, {
    refuseToken: ({ query }) => (query.getAll('scope').length > 1 ? { status: 403 } : undefined),
    serve: () => ({
      status: 401,
      headers: { 'www-authenticate': `${registry.challenge},scope="repository:app:delete",error="insufficient_scope"` },
      body: 'why',
    }),
  });
  assert.deepEqual(await answerOf(clientOf({ origin: registry.origin, scopes })('/v2/')), [401, 'why']);
});

test('scopes of a request go before those of its client', async (t) => {
  const registry = await startTokenRegistry(t);
  await statusOf(clientOf({ origin: registry.origin, scopes })('/v2/', { scopes: ['repository:other:pull'] }));
  assert.deepEqual(registry.tokenRequests()[0]?.query.getAll('scope'), ['repository:other:pull']);
});

test('where two repositories are refused together, the first scope alone is asked for, and that is remembered', async (t) => {
  const registry = await startTokenRegistry(t, {
    refuseToken: ({ query }) => (query.getAll('scope').length > 1 ? { status: 400 } : undefined),
  });
  const client = clientOf({ origin: registry.origin, scopes: ['repository:base:pull', 'repository:app:pull,push'] });
  assert.equal(await statusOf(client('/v2/')), 200);
  registry.revoke();
  assert.equal(await statusOf(client('/v2/')), 200);
  const asked = registry.tokenRequests().map(({ query }) => query.getAll('scope'));
  const push = 'repository:app:pull,push';
  assert.deepEqual(asked, [[push, 'repository:base:pull'], [push], [push]]);
});

test('a token server that refuses is an error of kind denied, without secrets', async (t) => {
  const registry = await startTokenRegistry(t, { refuseToken: () => ({ status: 401 }) });
  const client = clientOf({ origin: registry.origin, scopes, credentials: anna });
  await assert.rejects(client('/v2/'), (error) => {
    assert.ok(error instanceof TokenRequestError && error.kind === 'denied');
    assert.ok(!`${error.stack} ${error.hint}`.includes('secret'));
    return true;
  });
});

test('a 401 without a challenge to a cached token renews it by the challenge of before', async (t) => {
  const registry = await startTokenRegistry(t);
  const server = await startServer(t, ({ headers }) => {
    if (headers.authorization === undefined)
      return { status: 401, headers: { 'www-authenticate': registry.challenge } };
    return { status: headers.authorization === 'Bearer token-1' && server.requests.length > 2 ? 401 : 200 };
  });
  const client = clientOf({ origin: server.origin, scopes });
  assert.equal(await statusOf(client('/1')), 200);
  assert.equal(await statusOf(client('/2')), 200);
  assert.equal(registry.tokenRequests().length, 2);
});

test('a Basic challenge to a token that lacks a scope does not replace the token server, as Harbor sends it', async (t) => {
  const registry = await startTokenRegistry(t, {
    serve: ({ path }) =>
      path === '/denied' ? { status: 401, headers: { 'www-authenticate': 'Basic realm="harbor"' } } : { status: 200 },
  });
  const client = clientOf({ origin: registry.origin, scopes, credentials: anna });
  assert.equal(await statusOf(client('/denied')), 401);
  assert.equal(await statusOf(client('/allowed')), 200);
  const schemes = registry.registryRequests().map(({ headers }) => headers.authorization?.split(' ')[0]);
  assert.deepEqual(schemes, [undefined, 'Bearer', 'Bearer']);
});

test('repositories of a host with token servers of their own keep them apart', async (t) => {
  const one = await startTokenRegistry(t, { name: 'one' });
  const two = await startTokenRegistry(t, { name: 'two' });
  const server = await startServer(t, ({ path, headers }) => {
    if (headers.authorization?.startsWith(`Bearer ${path.slice(1)}-`)) return { status: 200 };
    return { status: 401, headers: { 'www-authenticate': (path === '/one' ? one : two).challenge } };
  });
  const authorizer = new Authorizer({ send });
  const clients = ['/one', '/two'].map((path) => {
    const client = clientOf({ origin: server.origin, scopes, authorizer });
    return () => statusOf(client(path));
  });
  for (const ask of [...clients, ...clients]) assert.equal(await ask(), 200);
  assert.equal(one.tokenRequests().length, 1);
  assert.equal(two.tokenRequests().length, 1);
  assert.equal(server.requests.length, 6);
});

test('a refusal does not hold the place that its token request waits for', async (t) => {
  const registry = await startTokenRegistry(t);
  const places = new Semaphore(1);
  const next: Send = collect({ timeoutMs: 1000 })(async (request) => {
    const release = await places.acquire();
    const response = await send(request);
    response.body.once('end', release);
    return response;
  });
  const client = clientOf({ origin: registry.origin, scopes, next });
  assert.deepEqual(await Promise.all([1, 2, 3].map((n) => statusOf(client(`/v2/${n}`)))), [200, 200, 200]);
});
