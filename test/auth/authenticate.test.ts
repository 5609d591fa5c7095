import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { Send } from '../../src/http/send/send.ts';
import { anna, annaBasic, answerOf, clientOf, statusOf } from './authorized-client.ts';
import { type Answer, send, startServer } from './test-server.ts';
import { startTokenRegistry } from './token-registry.ts';

const scopes = ['repository:app:pull'];

test('a registry without authentication sees no Authorization, and credentials are not looked up', async (t) => {
  const server = await startServer(t, () => ({ status: 200 }));
  let lookUps = 0;
  const credentials = (): Promise<undefined> => {
    lookUps += 1;
    return Promise.resolve(undefined);
  };
  const client = clientOf({ origin: server.origin, scopes, credentials });
  assert.equal(await statusOf(client('/v2/app/manifests/1')), 200);
  assert.equal(await statusOf(client('/v2/app/manifests/2')), 200);
  assert.deepEqual(
    server.requests.map(({ path, headers }) => [path, headers.authorization]),
    [
      ['/v2/app/manifests/1', undefined],
      ['/v2/app/manifests/2', undefined],
    ],
  );
  assert.equal(lookUps, 0);
});

test('a bearer challenge is answered with a token for the scopes of the client, without a ping (behaviour 40)', async (t) => {
  const registry = await startTokenRegistry(t);
  const client = clientOf({ origin: registry.origin, scopes, credentials: () => Promise.resolve(anna) });
  assert.equal(await statusOf(client('/v2/app/manifests/1')), 200);
  assert.equal(await statusOf(client('/v2/app/manifests/2')), 200);
  assert.deepEqual(
    registry.registryRequests().map(({ path, headers }) => [path, headers.authorization]),
    [
      ['/v2/app/manifests/1', undefined],
      ['/v2/app/manifests/1', 'Bearer token-1'],
      ['/v2/app/manifests/2', 'Bearer token-1'],
    ],
  );
  assert.deepEqual(
    registry.tokenRequests().map(({ query, headers }) => [query.getAll('scope'), headers.authorization]),
    [[scopes, annaBasic]],
  );
});

async function* slowBody(rest: Promise<void>): AsyncGenerator<string> {
  yield 'head';
  await rest;
}

test('without authentication, requests wait for the head of the first answer alone', async (t) => {
  const others = Promise.withResolvers<void>();
  let arrived = 0;
  const server = await startServer(t, ({ path }): Answer => {
    if (path === '/first') {
      return {
        status: 200,
        body: Readable.from(slowBody(others.promise)),
      };
    }
    arrived += 1;
    if (arrived === 3) others.resolve();
    return { status: 200 };
  });
  const client = clientOf({ origin: server.origin, scopes });
  const paths = ['/first', '/1', '/2', '/3'];
  assert.deepEqual(await Promise.all(paths.map((path) => statusOf(client(path)))), [200, 200, 200, 200]);
});

const loseFirst: Send = (request) =>
  request.url.pathname === '/first' ? Promise.reject(new Error('connection lost')) : send(request);

test('when the first request fails, those that waited go on by themselves', async (t) => {
  const server = await startServer(t, () => ({ status: 200 }));
  const client = clientOf({ origin: server.origin, scopes, next: loseFirst });
  const outcomes = await Promise.allSettled(['/first', '/1', '/2'].map((path) => statusOf(client(path))));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled'],
  );
});

test('a request that waits for the first answer gives up when its signal is aborted', async () => {
  const client = clientOf({ origin: 'https://registry.test', scopes, next: () => new Promise(() => undefined) });
  void client('/first');
  const controller = new AbortController();
  const waiting = client('/second', { signal: controller.signal });
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
});

test('a Basic challenge is answered with Basic, and from then on without being asked', async (t) => {
  const server = await startServer(t, ({ headers }) =>
    headers.authorization === annaBasic
      ? { status: 200 }
      : { status: 401, headers: { 'www-authenticate': ['Negotiate', 'Basic realm="r"', 'Bearer realm="x"'] } },
  );
  const client = clientOf({ origin: server.origin, scopes, credentials: () => Promise.resolve(anna) });
  assert.equal(await statusOf(client('/1')), 200);
  assert.equal(await statusOf(client('/2')), 200);
  assert.equal(server.requests.length, 3);
});

test('a Basic challenge to a client without credentials, or with wrong ones, comes back as it is', async (t) => {
  for (const [credentials, requests] of [
    [undefined, 1],
    [anna, 2],
  ] as const) {
    const server = await startServer(t, () => ({
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="r"' },
      body: 'why',
    }));
    assert.deepEqual(await answerOf(clientOf({ origin: server.origin, scopes, credentials })('/v2/')), [401, 'why']);
    assert.equal(server.requests.length, requests);
  }
});

test('an unsupported scheme leaves the client anonymous, with one warning (behaviour 39)', async (t) => {
  const server = await startServer(t, () => ({
    status: 401,
    headers: { 'www-authenticate': 'Negotiate' },
    body: 'why',
  }));
  const warnings: string[] = [];
  const client = clientOf({
    origin: server.origin,
    scopes,
    credentials: anna,
    onWarning: (warning) => warnings.push(warning),
  });
  assert.deepEqual(await answerOf(client('/v2/')), [401, 'why']);
  assert.equal(await statusOf(client('/v2/')), 401);
  assert.equal(server.requests.length, 2);
  assert.match(warnings.join('\n'), /^http:\S+ asks for authentication by negotiate.*$/);
});

test('a registry token goes with every request, and no token server is asked', async (t) => {
  const token = { kind: 'registry-token', token: 'mine' } as const;
  const server = await startServer(t, ({ headers }) =>
    headers.authorization === 'Bearer mine'
      ? { status: 200 }
      : { status: 401, headers: { 'www-authenticate': 'Bearer realm="https://a.test"' } },
  );
  assert.equal(await statusOf(clientOf({ origin: server.origin, scopes, credentials: token })('/v2/')), 200);
  assert.equal(server.requests.length, 1);
  const lookedUp = clientOf({ origin: server.origin, scopes, credentials: () => Promise.resolve(token) });
  assert.equal(await statusOf(lookedUp('/v2/')), 200);
  assert.equal(await statusOf(lookedUp('/v2/')), 200);
  assert.equal(server.requests.length, 4);
});

test('a failed look-up of credentials fails the requests that wait for it, and the next one looks again', async (t) => {
  const registry = await startTokenRegistry(t);
  let looks = 0;
  const credentials = (): Promise<typeof anna> => {
    looks += 1;
    return looks === 1 ? Promise.reject(new Error('auth file is garbage')) : Promise.resolve(anna);
  };
  const client = clientOf({ origin: registry.origin, scopes, credentials });
  const failing = [client('/v2/'), client('/v2/')];
  for (const one of failing) await assert.rejects(one, /auth file is garbage/);
  assert.equal(looks, 1);
  assert.equal(await statusOf(client('/v2/')), 200);
  assert.equal(await statusOf(client('/v2/')), 200);
  assert.equal(looks, 2, 'what was found is kept');
});

test('a 401 without a challenge is followed by one ping that tells it', async (t) => {
  const registry = await startTokenRegistry(t);
  const server = await startServer(t, ({ path, headers }) => {
    if (headers.authorization !== undefined) return { status: 200 };
    return { status: 401, headers: path === '/v2/' ? { 'www-authenticate': registry.challenge } : {} };
  });
  const client = clientOf({ origin: server.origin, scopes });
  const answers = [1, 2, 3].map((n) => statusOf(client(`/v2/app/manifests/${n}`)));
  assert.deepEqual(await Promise.all(answers), [200, 200, 200]);
  assert.deepEqual(
    server.requests.slice(0, 2).map(({ path }) => path),
    ['/v2/app/manifests/1', '/v2/'],
  );
  assert.equal(server.requests.length, 5);
});

test('a 401 without any challenge comes back as it is, and is pinged for once', async (t) => {
  const server = await startServer(t, () => ({ status: 401, body: 'why' }));
  const client = clientOf({ origin: server.origin, scopes, credentials: anna });
  assert.deepEqual(await answerOf(client('/1')), [401, 'why']);
  assert.equal(await statusOf(client('/2')), 401);
  assert.deepEqual(
    server.requests.map(({ path }) => path),
    ['/1', '/v2/', '/2'],
  );
});

test('looks once whether there are credentials that could help, however much is missing', async (t) => {
  const server = await startServer(t, () => ({ status: 404 }));
  let looks = 0;
  const areAtHand = (): boolean => {
    looks += 1;
    return false;
  };
  const credentials = (): Promise<undefined> => Promise.resolve(undefined);
  const client = clientOf({ origin: server.origin, scopes, credentials, areAtHand });
  const statuses = ['/v2/a', '/v2/b', '/v2/c'].map((path) => statusOf(client(path)));
  assert.deepEqual(await Promise.all(statuses), [404, 404, 404]);
  assert.equal(looks, 1);
});

test('looks again for credentials that could help, where looking failed', async (t) => {
  const server = await startServer(t, () => ({ status: 404 }));
  let looks = 0;
  const areAtHand = (): boolean => {
    looks += 1;
    if (looks === 1) throw new Error('the auth file cannot be read');
    return false;
  };
  const credentials = (): Promise<undefined> => Promise.resolve(undefined);
  const client = clientOf({ origin: server.origin, scopes, credentials, areAtHand });
  await assert.rejects(client('/v2/a'), /the auth file cannot be read/);
  assert.equal(await statusOf(client('/v2/b')), 404);
  assert.equal(looks, 2);
});

for (const status of [403, 404]) {
  test(`a ${status} without a challenge is followed by one ping where credentials are at hand, as GitHub Packages wants it`, async (t) => {
    const server = await startServer(t, ({ path, headers }) => {
      if (headers.authorization === annaBasic) return { status: 200 };
      if (path === '/v2/') return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
      return { status, body: 'hidden' };
    });
    for (const credentials of [anna, () => Promise.resolve(anna)]) {
      server.requests.length = 0;
      const client = clientOf({ origin: server.origin, scopes, credentials, areAtHand: true });
      assert.deepEqual(await Promise.all(['/1', '/2'].map((path) => statusOf(client(path)))), [200, 200]);
      assert.deepEqual(
        server.requests.map(({ path }) => path),
        ['/1', '/v2/', '/1', '/2'],
      );
    }
  });

  test(`a ${status} without a challenge stands where there are no credentials, or a helper would have to be started`, async (t) => {
    const server = await startServer(t, () => ({ status, body: 'why' }));
    const helper = (): Promise<never> => Promise.reject(new Error('a helper was started'));
    for (const credentials of [undefined, helper]) {
      server.requests.length = 0;
      const client = clientOf({ origin: server.origin, scopes, credentials });
      assert.deepEqual(await answerOf(client('/1')), [status, 'why']);
      assert.equal(server.requests.length, 1);
    }
  });

  test(`a ${status} stands after a ping without a challenge, and no second ping is sent`, async (t) => {
    const server = await startServer(t, ({ path }) => (path === '/v2/' ? { status: 200 } : { status, body: 'why' }));
    const client = clientOf({ origin: server.origin, scopes, credentials: anna });
    for (const path of ['/1', '/2']) assert.deepEqual(await answerOf(client(path)), [status, 'why']);
    assert.deepEqual(
      server.requests.map(({ path }) => path),
      ['/1', '/v2/', '/2'],
    );
  });

  test(`a ${status} after a request that succeeded without credentials is not followed by a ping`, async (t) => {
    const server = await startServer(t, ({ path }) => ({ status: path === '/1' ? 200 : status }));
    const client = clientOf({ origin: server.origin, scopes, credentials: anna });
    for (const path of ['/1', '/2']) await statusOf(client(path));
    assert.deepEqual(
      server.requests.map(({ path }) => path),
      ['/1', '/2'],
    );
  });
}

test('a redirect that was followed is an answer without a challenge, as at registry.k8s.io', async (t) => {
  const both = Promise.withResolvers<void>();
  let waiting = 0;
  const server = await startServer(t, () => ({ status: 200 }));
  const redirecting: Send = async (request) => {
    if (request.url.pathname !== '/1') {
      waiting += 1;
      if (waiting === 2) both.resolve();
      await both.promise;
    }
    return send({ ...request, url: new URL(request.url.pathname, server.origin) });
  };
  const client = clientOf({ origin: 'https://registry.test', scopes, credentials: anna, next: redirecting });
  assert.equal(await statusOf(client('/1')), 200);
  assert.deepEqual(await Promise.all(['/2', '/3'].map((path) => statusOf(client(path)))), [200, 200]);
  assert.equal(server.requests.length, 3);
});
