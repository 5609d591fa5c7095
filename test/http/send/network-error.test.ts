import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { NetworkError, redactUrl, toNetworkError } from '../../../src/http/send/network-error.ts';

const url = new URL('https://user:pass@registry.test:5000/v2/app/blobs/1?signature=secret#part');
const request = { method: 'GET', url, side: 'source' } as const;

function withCode(code: string, message = code): Error {
  return Object.assign(new Error(message), { code });
}

test('says by its code what kind of failure it was', () => {
  const cases: readonly [code: string, own: string][] = [
    ['ENOTFOUND', 'ERR_NAME_NOT_RESOLVED'],
    ['EAI_AGAIN', 'ERR_NAME_NOT_RESOLVED'],
    ['ECONNREFUSED', 'ERR_CONNECTION_REFUSED'],
    ['EHOSTUNREACH', 'ERR_CONNECTION_REFUSED'],
    ['ENETUNREACH', 'ERR_CONNECTION_REFUSED'],
    ['ETIMEDOUT', 'ERR_TIMEOUT'],
    ['UND_ERR_CONNECT_TIMEOUT', 'ERR_TIMEOUT'],
    ['UND_ERR_HEADERS_TIMEOUT', 'ERR_TIMEOUT'],
    ['UND_ERR_BODY_TIMEOUT', 'ERR_TIMEOUT'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERTIFICATE'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'ERR_TLS_CERTIFICATE'],
    ['CERT_HAS_EXPIRED', 'ERR_TLS_CERTIFICATE'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERTIFICATE'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'ERR_TLS_CERTIFICATE'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_TLS_CERTIFICATE'],
    ['EPROTO', 'ERR_TLS'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_TLS'],
    ['ECONNRESET', 'ERR_CONNECTION_LOST'],
    ['EPIPE', 'ERR_CONNECTION_LOST'],
    ['UND_ERR_SOCKET', 'ERR_CONNECTION_LOST'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'ERR_CONNECTION_LOST'],
    ['HPE_INVALID_CONSTANT', 'ERR_CONNECTION_LOST'],
  ];
  for (const [code, own] of cases) {
    const error = toNetworkError(withCode(code), request);
    assert.ok(error instanceof NetworkError, code);
    assert.deepEqual([error.code, error.side], [own, 'source'], code);
    assert.ok(error.hint !== undefined && !error.hint.endsWith('.'));
  }
});

test('keeps the cause, and says what it was asked and what went wrong', () => {
  const cause = withCode('ECONNRESET', 'read ECONNRESET');
  const error = toNetworkError(cause, request);
  assert.ok(error instanceof NetworkError);
  assert.equal(error.cause, cause);
  assert.equal(error.message, 'GET https://registry.test:5000/v2/app/blobs/1: read ECONNRESET');
});

test('tells what each address of a host answered', () => {
  const attempts = ['connect ECONNREFUSED ::1:5000', 'connect ECONNREFUSED 127.0.0.1:5000'];
  const errors = attempts.map((message) => withCode('ECONNREFUSED', message));
  const cause = Object.assign(new AggregateError(errors), { code: 'ECONNREFUSED' });
  const error = toNetworkError(cause, request);
  assert.ok(error instanceof NetworkError);
  assert.equal(error.failure, 'refused');
  assert.ok(error.message.endsWith(`: ${attempts.join('; ')}`), error.message);
});

test('hands aborts, errors of imgcopy and mistakes of its own back as they are', () => {
  const mistakes = [
    AbortSignal.abort().reason as unknown,
    new ImgcopyError('no', { code: 'ERR_NO' }),
    new TypeError('a mistake'),
    new DOMException('late', 'TimeoutError'),
    'text',
    undefined,
  ];
  for (const error of mistakes) assert.equal(toNetworkError(error, request), error);
});

test('shows a URL without userinfo, query and fragment', () => {
  assert.equal(redactUrl(url), 'https://registry.test:5000/v2/app/blobs/1');
});
