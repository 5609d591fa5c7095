import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage } from '../images.ts';
import { startLeavingRegistry as startRegistry, type TestRegistry } from '../registry.ts';
import type { AuthOptions } from './options.ts';

const image = buildImage({ layers: { count: 1, size: 100 } });
const [config] = image.blobs.keys();
const user = { username: 'ann', password: 'secret' } as const;
const basic = `Basic ${Buffer.from('ann:secret').toString('base64')}`;

async function start(auth: AuthOptions): Promise<TestRegistry> {
  const registry = await startRegistry({ auth });
  registry.seed('app', 'v1', image);
  registry.seed('base', 'v1', image);
  return registry;
}

async function call(registry: TestRegistry, method: string, path: string, authorization?: string): Promise<Response> {
  const headers = authorization === undefined ? undefined : { authorization };
  return await fetch(`${registry.url}${path}`, { method, ...(headers === undefined ? {} : { headers }) });
}

function tokenPath(scopes: readonly string[]): string {
  return `/token?${scopes.map((scope) => `scope=${scope}`).join('&')}`;
}

async function tokenFor(registry: TestRegistry, scopes: readonly string[], authorization?: string): Promise<string> {
  const answer = await call(registry, 'GET', tokenPath(scopes), authorization);
  assert.equal(answer.status, 200);
  return `Bearer ${((await answer.json()) as { token: string }).token}`;
}

test('asks for Basic credentials, for pushing alone where pulling is free', async () => {
  for (const anonymousPull of [false, true]) {
    await using registry = await start({ kind: 'basic', ...user, anonymousPull });
    const anonymous = await call(registry, 'GET', '/v2/app/manifests/v1');
    assert.equal(anonymous.status, anonymousPull ? 200 : 401);
    assert.equal(anonymous.headers.get('www-authenticate'), anonymousPull ? null : 'Basic realm="test registry"');
    assert.equal((await call(registry, 'POST', '/v2/app/blobs/uploads/')).status, 401);
    assert.equal((await call(registry, 'POST', '/v2/app/blobs/uploads/', basic)).status, 202);
    assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', 'Basic eDp5')).status, 401);
  }
});

test('challenges with realm, service and the scopes of the request', async () => {
  await using registry = await start({ kind: 'bearer', ...user });
  const realm = `Bearer realm="${registry.url}/token",service="${registry.host}"`;
  const challenge = async (method: string, path: string, authorization?: string): Promise<string | null> => {
    const answer = await call(registry, method, path, authorization);
    assert.equal(answer.status, 401);
    return answer.headers.get('www-authenticate');
  };
  assert.equal(await challenge('GET', '/v2/'), realm);
  assert.equal(await challenge('GET', '/v2/app/manifests/v1'), `${realm},scope="repository:app:pull"`);
  assert.equal(await challenge('POST', '/v2/app/blobs/uploads/'), `${realm},scope="repository:app:pull,push"`);
  assert.equal(await challenge('DELETE', '/v2/app/blobs/uploads/x'), `${realm},scope="repository:app:delete"`);
  assert.equal(
    await challenge('POST', `/v2/app/blobs/uploads/?mount=${config}&from=base`),
    `${realm},scope="repository:app:pull,push repository:base:pull"`,
  );
  const wrong = await challenge('GET', '/v2/app/manifests/v1', 'Bearer made-up');
  assert.equal(wrong, `${realm},scope="repository:app:pull",error="invalid_token"`);
});

test('issues tokens for repositories and actions, and counts them', async () => {
  await using registry = await start({ kind: 'bearer', ...user });
  const token = await tokenFor(registry, ['repository:app:pull,push', 'repository:base:pull'], basic);
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', token)).status, 200);
  assert.equal((await call(registry, 'POST', `/v2/app/blobs/uploads/?mount=${config}&from=base`, token)).status, 201);
  const beyond = await call(registry, 'POST', '/v2/base/blobs/uploads/', token);
  assert.equal(beyond.status, 401);
  assert.match(beyond.headers.get('www-authenticate') ?? '', /error="insufficient_scope"$/);
  assert.deepEqual(
    registry.tokens.map(({ user: name, scopes, method }) => ({ name, scopes, method })),
    [{ name: 'ann', scopes: ['repository:app:pull,push', 'repository:base:pull'], method: 'GET' }],
  );
  registry.revokeTokens();
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', token)).status, 401);
  registry.reset();
  assert.equal(registry.tokens.length, 0);
});

test('refuses a token that has expired', async () => {
  await using registry = await start({ kind: 'bearer', ...user, expiresInSeconds: 0 });
  const token = await tokenFor(registry, ['repository:app:pull'], basic);
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', token)).status, 401);
});

test('gives anonymous clients a token to pull, or none', async () => {
  await using open = await start({ kind: 'bearer', ...user, anonymousPull: true });
  const token = await tokenFor(open, ['repository:app:pull,push']);
  assert.equal((await call(open, 'GET', '/v2/app/manifests/v1', token)).status, 200);
  assert.equal((await call(open, 'POST', '/v2/app/blobs/uploads/', token)).status, 401);
  await using shut = await start({ kind: 'bearer', ...user });
  assert.equal((await call(shut, 'GET', '/token?scope=repository:app:pull')).status, 401);
  assert.equal((await call(shut, 'GET', '/token?scope=repository:app:pull', 'Basic eDp5')).status, 401);
});

test('treats several scopes as token servers do', async () => {
  const scopes = ['repository:app:pull,push', 'repository:base:pull'];
  await using first = await start({ kind: 'bearer', ...user, severalScopes: 'first' });
  const token = await tokenFor(first, scopes, basic);
  assert.equal((await call(first, 'POST', '/v2/app/blobs/uploads/', token)).status, 202);
  assert.equal((await call(first, 'GET', '/v2/base/manifests/v1', token)).status, 401);
  await using refusing = await start({ kind: 'bearer', ...user, severalScopes: 'refuse' });
  assert.equal((await call(refusing, 'GET', tokenPath(scopes), basic)).status, 403);
});

test('takes a refresh token or a password by POST', async () => {
  await using registry = await start({ kind: 'bearer', ...user, refreshToken: 'identity' });
  const post = async (form: Readonly<Record<string, string>>): Promise<Response> =>
    await fetch(`${registry.url}/token`, { method: 'POST', body: new URLSearchParams(form) });
  const scope = 'repository:app:pull,push repository:base:pull';
  const answer = await post({ grant_type: 'refresh_token', refresh_token: 'identity', scope, service: registry.host });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  assert.equal((await call(registry, 'GET', '/v2/base/manifests/v1', `Bearer ${token}`)).status, 200);
  assert.equal((await post({ grant_type: 'password', ...user, scope })).status, 200);
  assert.equal((await post({ grant_type: 'refresh_token', refresh_token: 'other', scope })).status, 401);
  assert.deepEqual(registry.tokens[0]?.scopes, scope.split(' '));
});

test('has no POST, or another field for the token, where told', async () => {
  await using registry = await start({ kind: 'bearer', ...user, oauth2: false, tokenField: 'access_token' });
  assert.equal((await call(registry, 'POST', '/token')).status, 404);
  const answer = await call(registry, 'GET', '/token?scope=repository:app:pull', basic);
  assert.deepEqual(Object.keys((await answer.json()) as object).toSorted(), [
    'access_token',
    'expires_in',
    'issued_at',
  ]);
});

function pullsApp(_user: string | undefined, repository: string, action: string): boolean {
  return repository === 'app' && action === 'pull';
}

test('denies what a user may not do', async () => {
  await using byToken = await start({ kind: 'bearer', ...user, grant: pullsApp });
  const token = await tokenFor(byToken, ['repository:app:pull,push'], basic);
  assert.equal((await call(byToken, 'GET', '/v2/app/manifests/v1', token)).status, 200);
  assert.equal((await call(byToken, 'POST', '/v2/app/blobs/uploads/', token)).status, 401);
  await using byPassword = await start({ kind: 'basic', ...user, grant: pullsApp });
  assert.equal((await call(byPassword, 'POST', '/v2/app/blobs/uploads/', basic)).status, 403);
});

test('leaves challenges out of the rules', async () => {
  await using registry = await start({ kind: 'bearer', ...user });
  registry.behave({ match: { path: /manifests/, times: 1 }, status: 500 });
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1')).status, 401);
  const token = await tokenFor(registry, ['repository:app:pull'], basic);
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', token)).status, 500);
  assert.equal((await call(registry, 'GET', '/v2/app/manifests/v1', token)).status, 200);
});
