import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { test } from 'node:test';
import { duringOperation, ImgcopyError, isAbort, systemErrorCode } from '../../src/errors/imgcopy-error.ts';

class DeniedError extends ImgcopyError {}

const denied = new DeniedError('GET https://registry.test/v2/: 401', {
  code: 'ERR_DENIED',
  kind: 'denied',
  side: 'source',
  hint: 'log in',
});

test('is named for its class, and fails in general unless told otherwise', () => {
  const error = new ImgcopyError('no', { code: 'ERR_NO' });
  assert.equal(error.name, 'ImgcopyError');
  assert.equal(denied.name, 'DeniedError');
  assert.deepEqual([error.code, error.kind, error.side, error.hint], ['ERR_NO', 'failed', undefined, undefined]);
  assert.ok(!('cause' in error));
});

test('takes kind, side and hint over from its cause, but not what it says itself', () => {
  const outer = new ImgcopyError('copying', { code: 'ERR_COPY', cause: denied });
  assert.deepEqual([outer.kind, outer.side, outer.hint, outer.cause], ['denied', 'source', 'log in', denied]);
  const own = new ImgcopyError('copying', {
    code: 'ERR_COPY',
    cause: denied,
    kind: 'integrity',
    side: 'destination',
    hint: 'try again',
  });
  assert.deepEqual([own.kind, own.side, own.hint], ['integrity', 'destination', 'try again']);
});

test('says during which operation an error happened, under the code it has', async () => {
  const cases: readonly [cause: unknown, code: string][] = [
    [denied, 'ERR_DENIED'],
    [await access('/nowhere/at/all').catch((error: unknown) => error), 'ENOENT'],
    [new TypeError('a mistake'), 'ERR_FAILED'],
    ['a text', 'ERR_FAILED'],
  ];
  for (const [cause, code] of cases) {
    const error = duringOperation('copying layer 1', cause);
    assert.ok(error instanceof ImgcopyError);
    assert.deepEqual([error.message, error.code, error.cause], ['copying layer 1', code, cause]);
  }
});

test('hands an abort back as it is', () => {
  const signal = AbortSignal.abort();
  assert.equal(duringOperation('copying', signal.reason), signal.reason);
  assert.equal(isAbort(signal.reason), true);
  assert.equal(isAbort(denied), false);
  assert.equal(isAbort('AbortError'), false);
});

test('finds the code of a system error, and none in what has no text for it', () => {
  assert.equal(systemErrorCode(Object.assign(new Error('gone'), { code: 'ECONNRESET' })), 'ECONNRESET');
  assert.equal(systemErrorCode(denied), 'ERR_DENIED');
  assert.equal(systemErrorCode(new Error('no code')), undefined);
  assert.equal(systemErrorCode(new DOMException('late', 'TimeoutError')), undefined);
  assert.equal(systemErrorCode({ code: 'ECONNRESET' }), undefined);
});
