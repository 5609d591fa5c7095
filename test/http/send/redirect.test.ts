import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { redirect } from '../../../src/http/send/redirect.ts';
import type { HttpRequest, HttpResponse, Method } from '../../../src/http/send/send.ts';

const url = new URL('https://registry.test/v2/app/blobs/1');
const get: HttpRequest = { method: 'GET', url, side: 'source' };

type Answer = readonly [status: number, location?: string];

interface Followed {
  /** The status that came back in the end, or the error. */
  readonly outcome: unknown;
  readonly sent: readonly HttpRequest[];
  readonly dumped: readonly boolean[];
}

/** Answers requests one after the other, the last answer as often as needed. */
async function follow(request: HttpRequest, answers: readonly Answer[]): Promise<Followed> {
  const sent: HttpRequest[] = [];
  const bodies: Readable[] = [];
  const send = redirect((one): Promise<HttpResponse> => {
    const [status, location] = answers[Math.min(sent.length, answers.length - 1)] ?? [200];
    sent.push(one);
    const body = Readable.from([Buffer.from('moved')]);
    bodies.push(body);
    return Promise.resolve({ status, headers: { location }, body, url: one.url });
  });
  const outcome: unknown = await send(request).then(
    (response) => response.status,
    (error: unknown) => error,
  );
  return { outcome, sent, dumped: bodies.map((body) => body.destroyed) };
}

function assertRefused(outcome: unknown, what: RegExp): void {
  assert.ok(outcome instanceof ImgcopyError);
  assert.equal(outcome.code, 'ERR_REDIRECT');
  assert.equal(outcome.side, 'source');
  assert.match(outcome.message, what);
}

test('follows a redirect to where it leads, from wherever it stands', async () => {
  const cases: readonly [location: string, target: string][] = [
    ['https://storage.test/blob?signature=1%2F2', 'https://storage.test/blob?signature=1%2F2'],
    ['/elsewhere?x=1', 'https://registry.test/elsewhere?x=1'],
    ['2', 'https://registry.test/v2/app/blobs/2'],
    ['//storage.test/blob', 'https://storage.test/blob'],
  ];
  for (const status of [301, 302, 303, 307, 308]) {
    for (const [location, target] of cases) {
      const { outcome, sent, dumped } = await follow(get, [[status, location], [200]]);
      assert.deepEqual([outcome, sent[1]?.url.href, sent[1]?.method], [200, target, 'GET']);
      assert.deepEqual(dumped, [true, false]);
    }
  }
});

test('takes for an answer what is no redirect, or leads nowhere', async () => {
  for (const answer of [
    [200, '/elsewhere'],
    [201, '/elsewhere'],
    [304, '/elsewhere'],
    [300, '/elsewhere'],
    [307],
  ] as const)
    assert.deepEqual((await follow(get, [answer])).outcome, answer[0]);
});

test('leaves credentials behind when it changes origin, and takes Range along (behaviour 44)', async () => {
  const headers = { authorization: 'Bearer token', range: 'bytes=5-', 'accept-encoding': 'identity' };
  const { authorization: _, ...bare } = headers;
  const cases: readonly [location: string, kept: object][] = [
    ['https://registry.test/other', headers],
    ['https://registry.test:443/other', headers],
    ['https://storage.test/other', bare],
    ['https://registry.test:444/other', bare],
    ['http://registry.test/other', bare],
    ['https://cdn.registry.test/other', bare],
  ];
  for (const [location, kept] of cases) {
    const { sent } = await follow({ ...get, headers }, [[307, location], [200]]);
    assert.deepEqual(sent[1]?.headers, kept, location);
  }
});

test('does not take credentials up again on the way back', async () => {
  const { sent } = await follow({ ...get, headers: { authorization: 'Bearer token' } }, [
    [307, 'https://storage.test/blob'],
    [307, url.href],
    [200],
  ]);
  assert.deepEqual(
    sent.map((request) => request.headers?.['authorization']),
    ['Bearer token', undefined, undefined],
  );
});

test('sends a write again as it was, and never as a GET whose answer would look like success', async () => {
  const methods: readonly Method[] = ['PUT', 'PATCH', 'DELETE'];
  const body = Buffer.from('manifest');
  for (const status of [301, 302, 307, 308]) {
    for (const method of methods) {
      const { sent } = await follow({ ...get, method, body, bodyLength: 8 }, [[status, '/other'], [201]]);
      assert.deepEqual([sent[1]?.method, sent[1]?.body, sent[1]?.bodyLength], [method, body, 8]);
    }
  }
});

test('refuses a 303 for a write: what it leads to says nothing of the write', async () => {
  for (const method of ['PUT', 'PATCH', 'POST', 'DELETE'] as const) {
    const { outcome, sent } = await follow({ ...get, method }, [[303, '/other'], [200]]);
    assertRefused(outcome, /303/);
    assert.equal(sent.length, 1);
  }
});

test('refuses to follow with a stream that cannot be sent again, and makes a new one of a factory (behaviour 64)', async () => {
  const patch: HttpRequest = { ...get, method: 'PATCH' };
  for (const status of [307, 308]) {
    const bare = await follow({ ...patch, body: Readable.from(['bytes']) }, [[status, '/other'], [202]]);
    assertRefused(bare.outcome, /in the middle of a body/);
    assert.equal(bare.sent.length, 1);
    const factory = (): Readable => Readable.from(['bytes']);
    const { outcome, sent } = await follow({ ...patch, body: factory }, [[status, '/other'], [202]]);
    assert.deepEqual([outcome, sent[1]?.body], [202, factory]);
  }
});

test('does not take a form with a secret to another origin', async () => {
  const form: HttpRequest = { ...get, method: 'POST', body: Buffer.from('refresh_token=secret') };
  const { outcome, sent } = await follow(form, [[307, 'https://other.test/token'], [200]]);
  assertRefused(outcome, /another origin/);
  assert.equal(sent.length, 1);
  assert.equal((await follow(form, [[307, '/token2'], [200]])).outcome, 200);
  assert.equal((await follow({ ...form, body: new Uint8Array() }, [[307, 'https://other.test/'], [202]])).outcome, 202);
});

test('follows ten redirects, and no more', async () => {
  const hops = (count: number): Answer[] => [...Array.from({ length: count }, (): Answer => [307, '/again']), [200]];
  assert.equal((await follow(get, hops(10))).outcome, 200);
  const { outcome, sent } = await follow(get, [[307, '/again']]);
  assertRefused(outcome, /more than 10/);
  assert.equal(sent.length, 11);
});

test('refuses to go where there is no http, or by what must not be sent', async () => {
  const unsendable = ['/a b', '/a\r\nb', '/ä'];
  for (const location of ['ftp://storage.test/blob', 'file:///etc/passwd', 'https://', 'data:,x', ...unsendable]) {
    assertRefused((await follow(get, [[307, location], [200]])).outcome, /not a valid http/);
  }
});

test('keeps signed URLs and queries out of its messages', async () => {
  const from = { ...get, url: new URL('https://user:pass@registry.test/v2/?secret=1') };
  const { outcome } = await follow(from, [[307, 'https://']]);
  assertRefused(outcome, /^GET https:\/\/registry\.test\/v2\/: /);
});

for (const host of ['169.254.169.254', '[fe80::1]', '[::ffff:169.254.169.254]', '0xa9fea9fe']) {
  test(`does not follow a redirect to ${host}, nor send an upload there: metadata services live at such addresses`, async () => {
    const target = `http://${host}/latest/meta-data`;
    const redirected = await follow(get, [[307, target], [200]]);
    assert.ok(redirected.outcome instanceof ImgcopyError);
    assert.equal(redirected.outcome.code, 'ERR_LINK_LOCAL_ADDRESS');
    assert.equal(redirected.sent.length, 1);
    const upload = await follow({ ...get, method: 'PUT', url: new URL(target), authOrigin: url.origin }, [[201]]);
    assert.ok(upload.outcome instanceof ImgcopyError);
    assert.equal(upload.sent.length, 0);
  });
}

test('a registry that is itself at a link-local address leads to itself as it likes', async () => {
  const own = { ...get, url: new URL('http://169.254.7.7:5000/v2/app/blobs/1'), authOrigin: 'http://169.254.7.7:5000' };
  assert.equal((await follow(own, [[307, 'http://169.254.7.7:9000/blob'], [200]])).outcome, 200);
});
