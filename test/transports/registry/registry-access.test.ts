import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_CREDENTIALS } from '../../../src/auth/credential-search.ts';
import type { HttpRequest } from '../../../src/http/send/send.ts';
import type { ReachOptions, RegistryAccess } from '../../../src/transports/registry/registry-access.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';
import { writeAuthority } from '../../support/certificate-files.ts';
import { startRegistry } from '../../support/registry.ts';
import { openAccess } from '../../support/registry-transport.ts';

const certificate = selfSignedCertificate();
const call: ReachOptions = { side: 'source', scopes: ['repository:app:pull'] };

async function originOf(access: RegistryAccess, host: string, options: Partial<ReachOptions> = {}): Promise<string> {
  return (await access.reach(host, { ...call, ...options })).origin;
}

test('tries https first on a loopback host, and takes http where that is what it speaks (behaviour 38)', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  assert.equal(await originOf(access, registry.host), registry.url);
  const port = registry.host.split(':')[1];
  assert.equal(await originOf(access, `localhost:${port}`), `http://localhost:${port}`);
  assert.equal(registry.count(), 0);
});

test('stays with https on a loopback host that speaks it', async (t) => {
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  assert.equal(
    await originOf(access, registry.host, { tls: { caFile: await writeAuthority(t, certificate.cert) } }),
    registry.url,
  );
});

test('does not take an untrusted certificate for a reason to go on in the clear', async () => {
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  const { origin, send } = await access.reach(registry.host, call);
  assert.equal(origin, registry.url);
  const sent = send({ method: 'GET', url: new URL('/v2/', origin), side: 'source' });
  await assert.rejects(sent, { code: 'ERR_TLS_CERTIFICATE', side: 'source' });
  assert.equal(registry.count(), 0);
});

test('takes any certificate with --tls-verify=false', async () => {
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  const { origin, send } = await access.reach(registry.host, { ...call, tls: { verify: false } });
  assert.equal(origin, registry.url);
  const { status, body } = await send({ method: 'GET', url: new URL('/v2/', origin), side: 'source' });
  body.resume();
  assert.equal(status, 200);
});

test('asks nothing of a host that is no loopback one: https, or http when told', async () => {
  await using access = openAccess();
  assert.equal(await originOf(access, 'registry.test'), 'https://registry.test');
  assert.equal(await originOf(access, 'registry.test:443'), 'https://registry.test');
  assert.equal(await originOf(access, 'registry.test:5000'), 'https://registry.test:5000');
  assert.equal(await originOf(access, 'registry.test:5000', { plainHttp: true }), 'http://registry.test:5000');
  assert.equal(await originOf(access, '127.0.0.1:1', { plainHttp: true }), 'http://127.0.0.1:1');
});

test('reaches Docker Hub by the host of its API', async () => {
  await using access = openAccess();
  assert.equal(await originOf(access, 'docker.io'), 'https://registry-1.docker.io');
});

test('finds out once how a host is reached, for all copies of a run', async (t) => {
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  const tls = { caFile: await writeAuthority(t, certificate.cert) };
  await Promise.all(Array.from({ length: 5 }, () => originOf(access, registry.host, { tls })));
  assert.deepEqual([registry.connections, registry.count()], [1, 0]);
});

test('asks again after a failure', async (t) => {
  await using registry = await startRegistry({ tls: certificate });
  await using access = openAccess();
  await assert.rejects(originOf(access, registry.host, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(
    await originOf(access, registry.host, { tls: { caFile: await writeAuthority(t, certificate.cert) } }),
    registry.url,
  );
});

test('tells the observer of everything that goes out, retries and redirects too', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const seen: string[] = [];
  const retried: string[] = [];
  const onRequest = ({ method, url }: HttpRequest, outcome: { status: number } | { error: unknown }): void => {
    const { pathname } = url;
    seen.push(`${method} ${pathname} ${'status' in outcome ? outcome.status : 'failed'}`);
  };
  const observer = { onRequest, onRetry: ({ why }: { why: string }): void => void retried.push(why) };
  const { origin, send } = await access.reach(registry.host, { ...call, plainHttp: true, observer });
  registry.behave({ match: { path: /tags/, times: 1 }, status: 500 });
  registry.behave({ match: { path: /tags/, times: 1 }, loseAnswer: 'reset' });
  registry.behave({ match: { path: /tags/, times: 1 }, status: 307, headers: { location: '/v2/other/manifests/v1' } });
  const url = new URL('/v2/app/tags/list', origin);
  (await send({ method: 'GET', url, side: 'source' })).body.resume();
  assert.deepEqual(seen, [
    'GET /v2/app/tags/list 500',
    'GET /v2/app/tags/list failed',
    'GET /v2/app/tags/list 307',
    'GET /v2/other/manifests/v1 404',
  ]);
  assert.equal(retried.length, 2);
});

test('sends no credentials where they are not wanted: to other hosts', async () => {
  await using registry = await startRegistry({ auth: { kind: 'basic', username: 'anna', password: 'secret' } });
  await using access = openAccess();
  const credentials = { kind: 'basic', username: 'anna', password: 'secret' } as const;
  const { origin, send, sendAnonymous } = await access.reach(registry.host, {
    ...call,
    plainHttp: true,
    credentials: { ...NO_CREDENTIALS, credentials },
  });
  const statuses: number[] = [];
  for (const way of [send, sendAnonymous]) {
    const { status, body } = await way({ method: 'GET', url: new URL('/v2/', origin), side: 'source' });
    body.resume();
    statuses.push(status);
  }
  assert.deepEqual(statuses, [200, 401]);
  assert.deepEqual(
    registry.requests.map(({ authorization }) => authorization),
    [false, true, false],
  );
});

test('holds requests of this kind to the host back after a 429, and narrows them', async () => {
  await using registry = await startRegistry();
  await using access = openAccess();
  const { origin, send } = await access.reach(registry.host, { ...call, plainHttp: true });
  registry.behave({ match: { times: 1 }, status: 429 });
  const { status, body } = await send({ method: 'GET', url: new URL('/v2/', origin), side: 'source' });
  body.resume();
  assert.deepEqual([status, registry.count(), access.gates.limitOf(registry.host)], [200, 2, 8]);
  assert.equal(access.gates.limitOf(registry.host, 'blob-read'), 16);
});
