import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBytes } from '../images.ts';
import { startRegistry, type TestRegistry } from '../registry.ts';
import type { MultiRangeAnswer } from './options.ts';

const blob = randomBytes('blob', 1000);

async function getRange(registry: TestRegistry, range: string, init: RequestInit = {}): Promise<Response> {
  const digest = registry.seedBlob('app', blob);
  return await fetch(`${registry.url}/v2/app/blobs/${digest}`, { ...init, headers: { range } });
}

async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}

/** The parts of a multipart body: what their Content-Range says, and their bytes. */
function partsOf(body: Buffer, boundary: string): readonly { readonly range: string; readonly bytes: Buffer }[] {
  const pieces = body.toString('latin1').split(`--${boundary}`).slice(1, -1);
  return pieces.map((piece) => {
    const [head = '', ...rest] = piece.split('\r\n\r\n');
    const range = /Content-Range: (.*)\r\n/.exec(head)?.[1] ?? '';
    return { range, bytes: Buffer.from(rest.join('\r\n\r\n').slice(0, -'\r\n'.length), 'latin1') };
  });
}

test('answers one range with exactly its bytes', async () => {
  await using registry = await startRegistry();
  const cases = [
    { range: 'bytes=0-4', start: 0, end: 4 },
    { range: 'bytes=990-', start: 990, end: 999 },
    { range: 'bytes=-10', start: 990, end: 999 },
    { range: 'bytes=990-5000', start: 990, end: 999 },
    { range: 'bytes=-5000', start: 0, end: 999 },
  ];
  for (const { range, start, end } of cases) {
    const answer = await getRange(registry, range);
    assert.equal(answer.status, 206);
    assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end}/1000`);
    assert.deepEqual(await bytesOf(answer), blob.subarray(start, end + 1));
  }
});

test('answers 416 to a range past the end, and ignores what is not a range or not wanted', async () => {
  await using registry = await startRegistry();
  const past = await getRange(registry, 'bytes=1000-');
  assert.deepEqual([past.status, past.headers.get('content-range')], [416, 'bytes */1000']);
  assert.equal((await getRange(registry, 'bytes=a-b')).status, 200);
  assert.equal((await getRange(registry, 'bytes=0-4', { method: 'HEAD' })).status, 200);
  registry.settings.ranges = false;
  const whole = await getRange(registry, 'bytes=0-4');
  assert.equal(whole.status, 200);
  assert.deepEqual(await bytesOf(whole), blob);
});

test('answers several ranges in parts, under every kind of boundary', async () => {
  await using registry = await startRegistry();
  const kinds: MultiRangeAnswer[] = ['multipart', 'quoted-boundary', 'unquoted-colon-boundary', 'preamble'];
  for (const kind of kinds) {
    registry.settings.multiRange = kind;
    const answer = await getRange(registry, 'bytes=0-4,10-14,-3');
    const type = answer.headers.get('content-type') ?? '';
    const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(type)?.[1] ?? '';
    assert.equal(type.includes('"'), kind === 'quoted-boundary');
    assert.equal(boundary.includes(':'), kind === 'unquoted-colon-boundary');
    const body = await bytesOf(answer);
    assert.equal(body.toString('latin1').startsWith('--'), kind !== 'preamble');
    assert.deepEqual(partsOf(body, boundary), [
      { range: 'bytes 0-4/1000', bytes: blob.subarray(0, 5) },
      { range: 'bytes 10-14/1000', bytes: blob.subarray(10, 15) },
      { range: 'bytes 997-999/1000', bytes: blob.subarray(997) },
    ]);
  }
});

test('answers several ranges as servers do that do not follow the specification', async () => {
  await using registry = await startRegistry();
  const boundary = '3d6b6a416f9b5f1e';
  const cases: [MultiRangeAnswer, readonly string[]][] = [
    ['coalesce', ['0-9', '20-24']],
    ['reorder', ['20-24', '5-9', '0-4']],
    ['no-boundary', ['0-4', '5-9', '20-24']],
    ['missing-part', ['0-4', '5-9']],
    ['extra-part', ['0-4', '5-9', '20-24', '20-24']],
    ['wrong-part-range', ['0-4', '5-9', '0-4']],
  ];
  for (const [kind, expected] of cases) {
    registry.settings.multiRange = kind;
    const answer = await getRange(registry, 'bytes=0-4,5-9,20-24');
    assert.equal(answer.headers.get('content-type')?.includes('boundary'), kind !== 'no-boundary');
    const parts = partsOf(await bytesOf(answer), boundary);
    assert.deepEqual(
      parts.map((part) => part.range),
      expected.map((range) => `bytes ${range}/1000`),
    );
  }
  registry.settings.multiRange = 'short-part';
  const parts = partsOf(await bytesOf(await getRange(registry, 'bytes=0-4,20-24')), boundary);
  assert.deepEqual(parts.at(-1), { range: 'bytes 20-24/1000', bytes: blob.subarray(20, 24) });
});

test('answers several ranges with one part, the whole blob or a refusal', async () => {
  await using registry = await startRegistry();
  registry.settings.multiRange = 'full';
  const full = await getRange(registry, 'bytes=0-4,10-14');
  assert.equal(full.status, 200);
  assert.deepEqual(await bytesOf(full), blob);
  registry.settings.multiRange = 'first-only';
  const first = await getRange(registry, 'bytes=0-4,10-14');
  assert.deepEqual([first.status, first.headers.get('content-range')], [206, 'bytes 0-4/1000']);
  for (const status of [400, 416, 501] as const) {
    registry.settings.multiRange = status;
    assert.equal((await getRange(registry, 'bytes=0-4,10-14')).status, status);
    assert.equal((await getRange(registry, 'bytes=0-4')).status, 206);
  }
});

test('sends blob GETs on to an origin that takes no credentials', async () => {
  await using registry = await startRegistry({ redirectBlobs: true });
  const redirect = await getRange(registry, 'bytes=0-4', { redirect: 'manual' });
  const location = redirect.headers.get('location') ?? '';
  assert.equal(redirect.status, 307);
  assert.equal(new URL(location).origin, registry.storageUrl);
  assert.equal((await fetch(location, { headers: { authorization: 'Bearer x' } })).status, 400);
  const followed = await fetch(location, { headers: { range: 'bytes=0-4' } });
  assert.deepEqual(await bytesOf(followed), blob.subarray(0, 5));
  await registry.idle();
  assert.equal(registry.count({ when: (request) => request.server === 'storage' }), 2);
  assert.equal((await fetch(location.replace(/\d+$/, '99'))).status, 403);
});

test('lets a redirect be used once where told', async () => {
  await using registry = await startRegistry({ redirectBlobs: 'single-use' });
  const redirect = await getRange(registry, 'bytes=0-4', { redirect: 'manual' });
  const location = redirect.headers.get('location') ?? '';
  assert.equal((await fetch(location)).status, 200);
  assert.equal((await fetch(location)).status, 403);
  assert.equal((await getRange(registry, 'bytes=0-4')).status, 206);
});
