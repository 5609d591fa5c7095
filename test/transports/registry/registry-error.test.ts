import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { ErrorKind, Side } from '../../../src/errors/imgcopy-error.ts';
import type { HttpRequest, RequestKind } from '../../../src/http/send/send.ts';
import { type RegistryError, toRegistryError } from '../../../src/transports/registry/registry-error.ts';

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
    [{ status: 404, kind: 'blob-write', side: 'destination' }, /run the command again; .*share their storage/],
    [{ status: 404, kind: 'blob-read' }, /^push the image there again, .*missing a blob/],
    [{ status: 401 }, /^ask the operator of the server: it refuses this request/],
    [{ status: 404 }, /imgcopy tags registry\.test\/app lists the tags/],
    [
      { status: 404, side: 'destination', body: errors({ code: 'NAME_UNKNOWN' }) },
      /need the repository to exist before the first push/,
    ],
    [{ status: 404, body: errors({ code: 'NAME_UNKNOWN' }) }, /check the name of the repository/],
    [{ status: 413 }, /raise the limit: a proxy in front of it/],
    [{ status: 413, kind: 'manifest-write' }, /^the registry limits the size of manifests; .* --platform$/],
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
