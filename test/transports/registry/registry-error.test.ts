import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { ErrorKind, Side } from '../../../src/errors/imgcopy-error.ts';
import type { HttpRequest, RequestKind } from '../../../src/http/send/send.ts';
import {
  parseErrorBody,
  type RegistryError,
  toRegistryError,
} from '../../../src/transports/registry/registry-error.ts';

interface Refusal {
  readonly status: number;
  readonly body?: string;
  readonly host?: string;
  readonly side?: Side;
  readonly kind?: RequestKind;
}

async function errorOf({
  status,
  body = '',
  host = 'registry.test',
  side = 'source',
  kind,
}: Refusal): Promise<RegistryError> {
  const url = new URL(`https://${host}/v2/app/manifests/v1?token=secret`);
  const request: HttpRequest = { method: 'GET', url, side, kind };
  return await toRegistryError(request, { status, headers: {}, body: Readable.from([Buffer.from(body)]), url });
}

function errors(...entries: readonly object[]): string {
  return JSON.stringify({ errors: entries });
}

test('reads the errors of an answer in each form that registries give them (behaviour 48)', () => {
  const cases: readonly (readonly [text: string, codes: readonly string[], message: string])[] = [
    [errors({ code: 'DENIED', message: 'no', detail: { a: 1 } }), ['DENIED'], 'DENIED: no [{"a":1}]'],
    [errors({ code: 'DENIED', message: 'no', detail: 'read-only' }), ['DENIED'], 'DENIED: no [read-only]'],
    [
      errors({ code: 'DENIED', message: 'it is read-only', detail: 'read-only' }),
      ['DENIED'],
      'DENIED: it is read-only',
    ],
    [errors({ code: 'DENIED', message: 'no', detail: ['a', 1] }), ['DENIED'], 'DENIED: no [["a",1]]'],
    [errors({ code: 'DENIED', detail: 'alone' }), ['DENIED'], 'DENIED [alone]'],
    [errors({ detail: 'alone' }), [], '[alone]'],
    ...[null, '', {}, [], 7].map((detail) => [errors({ code: 'X', detail }), ['X'], 'X'] as const),
    [
      errors({ code: 'TOOMANYREQUESTS', message: 'slow', detail: { a: 1 } }),
      ['TOOMANYREQUESTS'],
      'TOOMANYREQUESTS: slow',
    ],
    [errors({ code: 'A', message: 'one' }, { code: 'B', message: 'two' }), ['A', 'B'], 'A: one; B: two'],
    [errors({ code: 'DENIED' }), ['DENIED'], 'DENIED'],
    [errors({ message: 'no code' }), [], 'no code'],
    [errors({ code: 'DENIED', message: null }), ['DENIED'], 'DENIED'],
    [errors({ code: 7, message: ['odd'] }), [], ''],
    [JSON.stringify({ errors: [null, 'text', 7] }), [], ''],
    [JSON.stringify({ errors: [] }), [], ''],
    [JSON.stringify({ details: 'too many requests' }), [], 'too many requests'],
    [JSON.stringify({ code: 'UNKNOWN', message: 'said alone' }), ['UNKNOWN'], 'UNKNOWN: said alone'],
    [JSON.stringify({ errors: 'no list', message: 'beside it' }), [], 'beside it'],
    ['quota exceeded\n', [], 'quota exceeded'],
    ['"a JSON text"', [], '"a JSON text"'],
    ['{"errors":[', [], '{"errors":['],
    [' <html><h1>502 Bad Gateway</h1></html>', [], ''],
    ['', [], ''],
  ];
  for (const [text, codes, message] of cases) assert.deepEqual(parseErrorBody(text), { codes, message }, text);
});

test('strips what could steer a terminal, and cuts what is long', () => {
  const steering = parseErrorBody(errors({ code: 'X', message: '\u001b[31mred\u0007\u009b2J\u202etxt\r\nline' }));
  assert.doesNotMatch(steering.message, /[\p{Cc}\p{Cf}]/u);
  assert.match(steering.message, /^X: .*red.*txt.*line$/);
  assert.doesNotMatch(parseErrorBody('\u001b]0;title\u0007plain').message, /[\p{Cc}\p{Cf}]/u);
  for (const text of ['x'.repeat(10_000), errors({ code: 'X', message: 'x'.repeat(10_000) })])
    assert.ok(parseErrorBody(text).message.length <= 201);
});

test('says by kind and code what a status means', async () => {
  const cases: readonly [refusal: Refusal, code: string, kind: ErrorKind][] = [
    [{ status: 400 }, 'ERR_REGISTRY_REFUSED', 'failed'],
    [{ status: 401 }, 'ERR_DENIED', 'denied'],
    [{ status: 403, body: errors({ code: 'DENIED' }) }, 'ERR_DENIED', 'denied'],
    [{ status: 404, body: errors({ code: 'MANIFEST_UNKNOWN' }) }, 'ERR_NOT_FOUND', 'not-found'],
    [{ status: 404, body: errors({ code: 'UNKNOWN' }) }, 'ERR_NOT_FOUND', 'not-found'],
    [{ status: 404, body: errors({ code: 'BLOB_UPLOAD_UNKNOWN' }) }, 'ERR_REGISTRY_REFUSED', 'failed'],
    [{ status: 413, body: '<h1>Too large</h1>' }, 'ERR_UPLOAD_TOO_LARGE', 'failed'],
    [{ status: 429 }, 'ERR_RATE_LIMITED', 'rate-limited'],
    [{ status: 403, body: errors({ code: 'TOOMANYREQUESTS' }) }, 'ERR_RATE_LIMITED', 'rate-limited'],
    [{ status: 503, body: errors({ code: 'TOOMANYREQUESTS' }) }, 'ERR_RATE_LIMITED', 'rate-limited'],
    [{ status: 500 }, 'ERR_REGISTRY_FAULT', 'failed'],
  ];
  for (const [refusal, code, kind] of cases) {
    const error = await errorOf(refusal);
    assert.deepEqual([error.code, error.kind, error.status], [code, kind, refusal.status], JSON.stringify(refusal));
    assert.equal(error.side, 'source');
  }
});

test('names request, status and what the registry said, without secrets', async () => {
  const said = await errorOf({ status: 404, body: errors({ code: 'MANIFEST_UNKNOWN', message: 'unknown tag' }) });
  assert.equal(said.message, 'GET https://registry.test/v2/app/manifests/v1: 404 (MANIFEST_UNKNOWN: unknown tag)');
  assert.deepEqual(said.codes, ['MANIFEST_UNKNOWN']);
  assert.equal((await errorOf({ status: 502, body: '<html/>' })).message.endsWith(': 502'), true);
});

test('tells the user what can be done, for the side that it happened on', async () => {
  const cases: readonly [refusal: Refusal, hint: RegExp][] = [
    [{ status: 404, kind: 'blob-write', side: 'destination' }, /no longer knows this upload/],
    [{ status: 404, kind: 'blob-read' }, /lacks a blob that its manifest names; push the image there again/],
    [{ status: 401 }, /^the server refuses this request, whoever sends it$/],
    [{ status: 404 }, /imgcopy tags/],
    [
      { status: 404, side: 'destination', body: errors({ code: 'NAME_UNKNOWN' }) },
      /need the repository to exist before the first push/,
    ],
    [{ status: 404, body: errors({ code: 'NAME_UNKNOWN' }) }, /imgcopy tags/],
    [{ status: 413 }, /a proxy in front of the registry/],
    [{ status: 429 }, /try again later/],
    [{ status: 403, body: errors({ code: 'TOOMANYREQUESTS' }) }, /try again later/],
    [{ status: 502 }, /reported an internal error/],
  ];
  for (const [refusal, hint] of cases) assert.match((await errorOf(refusal)).hint ?? '', hint);
  for (const body of ['', errors({ code: 'BLOB_UPLOAD_UNKNOWN' })])
    assert.equal((await errorOf({ status: body === '' ? 400 : 404, body })).hint, undefined);
});

test('a refusal tells which credentials were sent, and what to do; a rate limit does not', async () => {
  const url = new URL('https://registry.test/v2/app/manifests/1');
  const request: HttpRequest = { method: 'GET', url, side: 'source' };
  const denial = { sent: 'credentials sent: user anna', hint: 'log in' };
  const answer = (status: number, body: string): Promise<RegistryError> =>
    toRegistryError(request, { status, headers: {}, body: Readable.from([Buffer.from(body)]), url, denial });
  const refused = await answer(403, errors({ code: 'DENIED', message: 'no' }));
  assert.deepEqual(
    [refused.message, refused.hint],
    ['GET https://registry.test/v2/app/manifests/1: 403 (DENIED: no); credentials sent: user anna', 'log in'],
  );
  const limited = await answer(403, errors({ code: 'TOOMANYREQUESTS', message: 'slow' }));
  assert.match(limited.message, /403 \(TOOMANYREQUESTS: slow\)$/);
  assert.match(limited.hint ?? '', /try again later/);
});

test('does without an error body that is too long, or cut (behaviour 48)', async () => {
  assert.equal((await errorOf({ status: 500, body: 'x'.repeat(1024 * 1024 + 1) })).message.endsWith(': 500'), true);
  const url = new URL('https://registry.test/v2/');
  const body = new Readable({ read: () => undefined });
  body.destroy(Object.assign(new Error('cut'), { code: 'ECONNRESET' }));
  const error = await toRegistryError(
    { method: 'PUT', url, side: 'destination' },
    { status: 403, headers: {}, body, url },
  );
  assert.deepEqual([error.code, error.message], ['ERR_DENIED', 'PUT https://registry.test/v2/: 403']);
});
