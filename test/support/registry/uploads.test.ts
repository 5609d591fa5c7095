import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { randomBytes } from '../images.ts';
import { startLeavingRegistry as startRegistry, type TestRegistry } from '../registry.ts';

const blob = randomBytes('blob', 10_000);
const digest = digestOf(blob);

type Headers = Readonly<Record<string, string>>;

async function open(registry: TestRegistry, query = ''): Promise<URL> {
  const answer = await fetch(`${registry.url}/v2/app/blobs/uploads/${query}`, { method: 'POST' });
  assert.equal(answer.status, 202);
  return locationOf(answer);
}

function locationOf(answer: Response): URL {
  return new URL(answer.headers.get('location') ?? '', answer.url);
}

async function send(method: string, url: URL, body?: Buffer, headers: Headers = {}): Promise<Response> {
  return await fetch(url, { method, headers, ...(body === undefined ? {} : { body: Uint8Array.from(body) }) });
}

async function close(url: URL, body?: Buffer, name: string = digest): Promise<Response> {
  const target = new URL(url);
  target.searchParams.append('digest', name);
  return await send('PUT', target, body);
}

test('takes a blob in one PUT', async () => {
  await using registry = await startRegistry();
  const answer = await close(await open(registry), blob);
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get('docker-content-digest'), digest);
  assert.equal(locationOf(answer).pathname, `/v2/app/blobs/${digest}`);
  assert.deepEqual(registry.blob('app', digest), blob);
  assert.deepEqual(registry.sessions, []);
  assert.equal(registry.requests.at(-1)?.bodyBytes, blob.length);
});

test('takes a blob in a streamed PATCH and a PUT', async () => {
  await using registry = await startRegistry();
  const url = await open(registry);
  const body = new Blob([Uint8Array.from(blob)]).stream();
  const patched = await fetch(url, { method: 'PATCH', body, duplex: 'half' });
  assert.deepEqual([patched.status, patched.headers.get('range')], [202, '0-9999']);
  assert.equal(registry.sessions[0]?.bytes, blob.length);
  assert.equal((await close(locationOf(patched))).status, 201);
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('takes chunks in order alone, and says where a session stands', async () => {
  await using registry = await startRegistry();
  const url = await open(registry);
  assert.equal((await send('GET', url)).headers.get('range'), '0-0');
  const chunk = async (start: number, end: number): Promise<Response> =>
    await send('PATCH', url, blob.subarray(start, end + 1), { 'content-range': `${start}-${end}` });
  assert.equal((await chunk(0, 3999)).status, 202);
  assert.equal((await chunk(5000, 9999)).status, 416);
  const status = await send('GET', url);
  assert.deepEqual([status.status, status.headers.get('range')], [204, '0-3999']);
  assert.equal((await chunk(4000, 7999)).status, 202);
  assert.equal((await close(url, blob.subarray(8000))).status, 201);
  assert.deepEqual(registry.blob('app', digest), blob);
});

test('refuses a blob with another digest, and gives its session up', async () => {
  await using registry = await startRegistry();
  const answer = await close(await open(registry), blob.subarray(1));
  assert.equal(answer.status, 400);
  assert.match(await answer.text(), /DIGEST_INVALID/);
  assert.equal(registry.blob('app', digest), undefined);
  assert.deepEqual(registry.sessions, []);
  assert.equal((await close(await open(registry), blob, 'none')).status, 400);
});

test('cancels a session', async () => {
  await using registry = await startRegistry();
  const url = await open(registry);
  assert.equal((await send('DELETE', url)).status, 204);
  assert.deepEqual(registry.sessions, []);
  assert.equal((await send('GET', url)).status, 404);
});

test('treats POST with a digest as distribution does', async () => {
  await using registry = await startRegistry();
  const url = new URL(`${registry.url}/v2/app/blobs/uploads/?digest=${digest}`);
  const answer = await send('POST', url, blob);
  assert.equal(answer.status, 202);
  assert.equal(registry.blob('app', digest), undefined);
  assert.equal(registry.sessions[0]?.bytes, 0);
});

test('mounts from another repository and from the repository itself', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('base', blob);
  const mount = async (from: string): Promise<number> => {
    const url = new URL(`${registry.url}/v2/app/blobs/uploads/?mount=${digest}&from=${from}`);
    return (await send('POST', url)).status;
  };
  assert.equal(await mount('app'), 202);
  assert.equal(await mount('base'), 201);
  assert.equal(await mount('app'), 201);
  assert.deepEqual(registry.blob('app', digest), blob);
  assert.equal(registry.sessions.length, 1);
});

test('answers mounts as other registries do', async () => {
  await using registry = await startRegistry();
  registry.seedBlob('base', blob);
  const url = new URL(`${registry.url}/v2/app/blobs/uploads/?mount=${digest}&from=base`);
  for (const [mount, status] of [
    ['always-202', 202],
    [400, 400],
    [405, 405],
    [500, 500],
  ] as const) {
    registry.settings.mount = mount;
    assert.equal((await send('POST', url)).status, status);
  }
  registry.settings.mount = 'lie';
  registry.remove('base', digest);
  assert.equal((await send('POST', url)).status, 201);
  assert.equal(registry.blob('app', digest), undefined);
});

test('refuses PATCH or PUT bodies as told', async () => {
  await using registry = await startRegistry({ patch: { maxBytes: 5000 }, monolithic: { maxBytes: 5000 } });
  const url = await open(registry);
  assert.equal((await send('PATCH', url, blob)).status, 413);
  const body = new Blob([Uint8Array.from(blob)]).stream();
  assert.equal((await fetch(url, { method: 'PATCH', body, duplex: 'half' })).status, 413);
  assert.equal((await close(url, blob)).status, 413);
  assert.equal(registry.sessions[0]?.bytes, 0);
  assert.equal((await send('PATCH', url, blob.subarray(0, 5000))).status, 202);
  registry.settings.patch = 405;
  registry.settings.monolithic = 'refuse';
  assert.equal((await send('PATCH', url, blob.subarray(5000))).status, 405);
  assert.equal((await close(url, blob.subarray(5000))).status, 405);
  registry.settings.patch = 'ok';
  assert.equal((await send('PATCH', url, blob.subarray(5000))).status, 202);
  assert.equal((await close(url)).status, 201);
});

test('asks for chunks of a least length, and refuses one after a shorter one', async () => {
  await using registry = await startRegistry({ chunkMinLength: 4000 });
  const opened = await fetch(`${registry.url}/v2/app/blobs/uploads/`, { method: 'POST' });
  assert.equal(opened.headers.get('oci-chunk-min-length'), '4000');
  const url = locationOf(opened);
  assert.equal((await send('PATCH', url, blob.subarray(0, 4000))).status, 202);
  assert.equal((await send('PATCH', url, blob.subarray(4000, 5000))).status, 202);
  assert.equal((await send('PATCH', url, blob.subarray(5000))).status, 400);
  assert.equal((await close(url, blob.subarray(5000))).status, 201);
});

test('names the session in every form of Location', async () => {
  await using registry = await startRegistry();
  const form = async (): Promise<string> => {
    const answer = await fetch(`${registry.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    return answer.headers.get('location') ?? '';
  };
  assert.match(await form(), /^\/v2\/app\/blobs\/uploads\/[^?]+$/);
  registry.settings.locations = 'absolute';
  assert.ok((await form()).startsWith(`${registry.url}/v2/app/`));
  registry.settings.locations = 'with-query';
  assert.match(await form(), /^\/v2\/.*\?_state=/);
  registry.settings.locations = 'other-origin';
  const other = await form();
  assert.ok(other.startsWith(`${registry.storageUrl}/v2/app/`));
  assert.equal((await send('GET', new URL(other), undefined, { authorization: 'Basic x' })).status, 400);
  assert.equal((await close(new URL(other), blob)).status, 201);
});

test('refuses a Location that is out of date, as distribution v3 and 2.8 do', async () => {
  await using registry = await startRegistry({ locations: 'with-query' });
  const first = await open(registry);
  const second = locationOf(await send('PATCH', first, blob.subarray(0, 100)));
  assert.equal((await send('PATCH', first, blob)).status, 416);
  assert.equal(locationOf(await send('GET', first)).href, second.href);
  assert.equal((await close(second, blob.subarray(100))).status, 201);
  registry.settings.keepCutSessions = false;
  const third = await open(registry);
  await send('PATCH', third, blob.subarray(0, 100));
  assert.equal((await send('PATCH', third, blob)).status, 404);
  assert.deepEqual(registry.sessions, []);
});
