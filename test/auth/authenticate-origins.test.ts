import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { HttpResponse, Send } from '../../src/http/send/send.ts';
import { anna, clientOf, statusOf } from './authorized-client.ts';
import { send, startServer } from './test-server.ts';
import { startTokenRegistry } from './token-registry.ts';

const scopes = ['repository:app:pull'];

test('another origin sees no Authorization, and its challenge is not answered (behaviour 44)', async (t) => {
  const registry = await startTokenRegistry(t);
  const storage = await startServer(t, () => ({ status: 401, headers: { 'www-authenticate': registry.challenge } }));
  const client = clientOf({ origin: registry.origin, scopes, credentials: anna });
  assert.equal(await statusOf(client('/v2/')), 200);
  const upload = client(`${storage.origin}/upload`, { method: 'PUT', authOrigin: registry.origin });
  assert.equal(await statusOf(upload), 401);
  assert.deepEqual(
    storage.requests.map(({ headers }) => headers.authorization),
    [undefined],
  );
});

test('the challenge of a host that the registry redirects to is not answered (behaviour 44)', async (t) => {
  const registry = await startTokenRegistry(t);
  const storage = await startServer(t, () => ({
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${registry.origin}/token"` },
  }));
  const redirecting: Send = (sent) => send({ ...sent, url: new URL(storage.origin) });
  const client = clientOf({ origin: 'https://registry.test', scopes, credentials: anna, next: redirecting });
  assert.equal(await statusOf(client('/v2/')), 401);
  assert.equal(storage.requests.length, 1);
  assert.equal(registry.tokenRequests().length, 0);
});

test('the default port is part of no origin, and authOrigin goes before that of the client', async () => {
  const sent: string[] = [];
  const next: Send = (seen) => {
    sent.push(`${seen.url.href} ${seen.headers?.['authorization']}`);
    return Promise.resolve({ status: 200, headers: {}, body: Readable.from([]), url: seen.url });
  };
  const token = { kind: 'registry-token', token: 'mine' } as const;
  const client = clientOf({ origin: 'https://registry.test:443', scopes, credentials: token, next });
  await client('https://registry.test/v2/');
  await client('https://registry.test:443/v2/');
  await client('https://registry.test:8443/v2/');
  await client('http://registry.test/v2/');
  await client('http://registry.test/v2/', { authOrigin: 'http://registry.test:80' });
  assert.deepEqual(sent, [
    'https://registry.test/v2/ Bearer mine',
    'https://registry.test/v2/ Bearer mine',
    'https://registry.test:8443/v2/ undefined',
    'http://registry.test/v2/ undefined',
    'http://registry.test/v2/ Bearer mine',
  ]);
});

test('an https registry whose token realm is http gets no credentials', async () => {
  const asked: string[] = [];
  const next: Send = (seen) => {
    asked.push(seen.url.href);
    const headers = { 'www-authenticate': 'Bearer realm="http://auth.test/token"' };
    return Promise.resolve({ status: 401, headers, body: Readable.from([]), url: seen.url });
  };
  const client = clientOf({ origin: 'https://registry.test', scopes, credentials: anna, next });
  await assert.rejects(client('/v2/'), { code: 'ERR_INSECURE_TOKEN_REALM' });
  assert.deepEqual(asked, ['https://registry.test/v2/']);
});

test('a body from a factory is made anew for each time it is sent', async (t) => {
  const registry = await startTokenRegistry(t);
  const client = clientOf({ origin: registry.origin, scopes });
  const upload = client('/upload', { method: 'PUT', body: () => Readable.from(['la', 'yer']) });
  assert.equal(await statusOf(upload), 200);
  assert.deepEqual(
    registry.registryRequests().map(({ body }) => body),
    ['layer', 'layer'],
  );
});

test('a bare stream gets its token before it is sent, and an error when it would have to be sent again', async (t) => {
  const registry = await startTokenRegistry(t);
  const client = clientOf({ origin: registry.origin, scopes });
  const put = (): Promise<HttpResponse> => client('/upload?state=s', { method: 'PUT', body: Readable.from(['layer']) });
  assert.equal(await statusOf(client('/v2/')), 200);
  assert.equal(await statusOf(put()), 200);
  registry.revoke();
  await assert.rejects(put(), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'ERR_BODY_NOT_REPLAYABLE');
    assert.match(error.message, /^PUT http:\S+\/upload: 401, and the body .* cannot be sent again/);
    return true;
  });
  assert.equal(await statusOf(put()), 200);
  assert.equal(registry.tokenRequests().length, 2);
});

async function* lateBody(content: Promise<string>): AsyncGenerator<string> {
  yield await content;
}

test('a first request with a streamed body keeps no other request waiting', async (t) => {
  const server = await startServer(t, () => ({ status: 200 }));
  const client = clientOf({ origin: server.origin, scopes });
  const source = Promise.withResolvers<string>();
  const copied = client('/copy', { method: 'PUT', body: () => Readable.from(lateBody(source.promise)) });
  const fetched = await client('/original');
  source.resolve(await text(fetched.body));
  assert.equal(await statusOf(copied), 200);
});
