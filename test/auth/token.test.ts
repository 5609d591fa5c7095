import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fetchToken, TokenRequestError, type TokenRequest } from '../../src/auth/token.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import { type Answer, type SeenRequest, send, startServer, type TestServer } from './test-server.ts';

const ok: Answer = { status: 200, body: '{"token":"t"}' };
const anna = { kind: 'basic', username: 'anna', password: 'pa:ss' } as const;

async function setUp(
  t: TestContext,
  answer: Answer | ((request: SeenRequest) => Answer),
): Promise<{ server: TestServer; request: TokenRequest }> {
  const server = await startServer(t, typeof answer === 'function' ? answer : () => answer);
  const request: TokenRequest = {
    realm: `${server.origin}/token`,
    service: 'registry.test',
    scopes: ['repository:app:pull,push', 'repository:base:pull'],
    credentials: undefined,
    registryOrigin: server.origin,
    side: 'source',
  };
  return { server, request };
}

test('an anonymous token is asked for with service and scopes alone (behaviour 40)', async (t) => {
  const { server, request } = await setUp(t, ok);
  const token = await fetchToken(request, send, () => 1000);
  assert.deepEqual(token, { value: 't', receivedAt: 1000, lifetimeMs: 60_000 });
  const [seen] = server.requests;
  assert.equal(seen?.method, 'GET');
  assert.deepEqual(
    [...(seen?.query ?? [])],
    [
      ['service', 'registry.test'],
      ['scope', 'repository:app:pull,push'],
      ['scope', 'repository:base:pull'],
    ],
  );
  assert.equal(seen?.headers.authorization, undefined);
});

test('user and password go as Basic, and the account in the query (behaviour 40)', async (t) => {
  const { server, request } = await setUp(t, ok);
  await fetchToken({ ...request, realm: `${request.realm}?tenant=1`, credentials: anna }, send, Date.now);
  const [seen] = server.requests;
  assert.equal(seen?.query.get('tenant'), '1');
  assert.equal(seen?.query.get('account'), 'anna');
  assert.equal(seen?.headers.authorization, `Basic ${Buffer.from('anna:pa:ss').toString('base64')}`);
});

test('a user without a password is an account without Basic', async (t) => {
  const { server, request } = await setUp(t, ok);
  await fetchToken({ ...request, credentials: { ...anna, password: '' } }, send, Date.now);
  assert.equal(server.requests[0]?.query.get('account'), 'anna');
  assert.equal(server.requests[0]?.headers.authorization, undefined);
});

test('an identity token is exchanged by POST (behaviour 40)', async (t) => {
  const { server, request } = await setUp(t, { status: 200, body: '{"access_token":"t","expires_in":300}' });
  const token = await fetchToken({ ...request, credentials: { kind: 'identity-token', token: 'idt' } }, send, () => 0);
  assert.deepEqual(token, { value: 't', receivedAt: 0, lifetimeMs: 300_000 });
  const [seen] = server.requests;
  assert.equal(seen?.method, 'POST');
  assert.equal(seen?.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.deepEqual(Object.fromEntries(new URLSearchParams(seen?.body)), {
    grant_type: 'refresh_token',
    service: 'registry.test',
    scope: 'repository:app:pull,push repository:base:pull',
    client_id: 'imgcopy',
    refresh_token: 'idt',
  });
});

for (const status of [404, 405]) {
  test(`where a POST is answered ${status}, the identity token goes as a password (behaviour 40)`, async (t) => {
    const { server, request } = await setUp(t, ({ method }) => (method === 'POST' ? { status } : ok));
    await fetchToken({ ...request, credentials: { kind: 'identity-token', token: 'idt' } }, send, Date.now);
    const basic = Buffer.from('<token>:idt').toString('base64');
    assert.equal(server.requests[1]?.headers.authorization, `Basic ${basic}`);
  });
}

const answers: readonly { body: string; expected: { value: string; lifetimeMs: number } }[] = [
  { body: '{"token":"a","access_token":"b"}', expected: { value: 'a', lifetimeMs: 60_000 } },
  { body: '{"token":"","access_token":"b","expires_in":59}', expected: { value: 'b', lifetimeMs: 60_000 } },
  {
    body: '{"token":"a","expires_in":"120","issued_at":"1999-01-01T00:00:00Z"}',
    expected: { value: 'a', lifetimeMs: 120_000 },
  },
  { body: '{"token":"a","expires_in":-5}', expected: { value: 'a', lifetimeMs: 60_000 } },
];

for (const { body, expected } of answers) {
  test(`the answer ${body} is a token for ${expected.lifetimeMs} ms from its receipt (behaviours 40, 41, 42)`, async (t) => {
    const { request } = await setUp(t, { status: 200, body });
    assert.deepEqual(await fetchToken(request, send, () => 5), { ...expected, receivedAt: 5 });
  });
}

for (const body of ['', 'null', '[]', '{}', '{"token":7}', '{"token":"two\\r\\nlines"}', '<html>']) {
  test(`the answer ${JSON.stringify(body)} is refused`, async (t) => {
    const { request } = await setUp(t, { status: 200, body });
    await assert.rejects(fetchToken(request, send, Date.now), { code: 'ERR_TOKEN_ANSWER' });
  });
}

test('an answer over 1 MiB is refused (behaviour 40)', async (t) => {
  const { request } = await setUp(t, { status: 200, body: `{"token":"t","x":"${'x'.repeat(1024 * 1024)}"}` });
  await assert.rejects(fetchToken(request, send, Date.now), ImgcopyError);
});

const realms: readonly [registryOrigin: string, realm: string | undefined, code: string][] = [
  ['https://registry.test', 'http://auth.test/token', 'ERR_INSECURE_TOKEN_REALM'],
  ['https://registry.test', 'file:///etc/passwd', 'ERR_INVALID_TOKEN_REALM'],
  ['http://registry.test', 'Registry Realm', 'ERR_INVALID_TOKEN_REALM'],
  ['http://registry.test', undefined, 'ERR_INVALID_TOKEN_REALM'],
  ['http://registry.test', 'http://169.254.169.254/latest/meta-data', 'ERR_LINK_LOCAL_ADDRESS'],
  ['http://registry.test', 'http://[fe80::1]/token', 'ERR_LINK_LOCAL_ADDRESS'],
  ['http://registry.test', 'http://2852039166/token', 'ERR_LINK_LOCAL_ADDRESS'],
];

for (const [registryOrigin, realm, code] of realms) {
  test(`${registryOrigin} with the token realm ${realm} fails before anything is sent`, async (t) => {
    const { server, request } = await setUp(t, ok);
    await assert.rejects(fetchToken({ ...request, registryOrigin, realm, credentials: anna }, send, Date.now), {
      code,
    });
    assert.equal(server.requests.length, 0);
  });
}

const refusals: readonly { status: number; kind: string; anonymous?: boolean }[] = [
  { status: 401, kind: 'denied' },
  { status: 401, kind: 'denied', anonymous: true },
  { status: 403, kind: 'denied' },
  { status: 429, kind: 'rate-limited' },
  { status: 500, kind: 'failed' },
];

for (const { status, kind, anonymous = false } of refusals) {
  test(`${status} ${anonymous ? 'to nobody' : 'to a user'} is an error of kind ${kind}`, async (t) => {
    const body = '{"errors":[{"code":"X","message":"no: \\u001b[1mpa:ss\\u001b[0m is wrong","detail":["app"]}]}';
    const { request } = await setUp(t, { status, body });
    const credentials = anonymous ? undefined : anna;
    await assert.rejects(fetchToken({ ...request, credentials }, send, Date.now), (error) => {
      assert.ok(error instanceof TokenRequestError);
      assert.equal(error.status, status);
      assert.equal(error.kind, kind);
      assert.equal(error.side, 'source');
      const said = anonymous ? 'no:  [1mpa:ss [0m is wrong [["app"]]' : 'no:  [1m*** [0m is wrong [["app"]]';
      assert.ok(error.message.endsWith(`GET ${request.realm}: ${status} (X: ${said})`), error.message);
      return true;
    });
  });
}
