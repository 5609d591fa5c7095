import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { dumpBody, readBody } from '../../../src/http/send/body.ts';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import type { HttpRequest, HttpResponse } from '../../../src/http/send/send.ts';

const url = new URL('https://registry.test/v2/app/manifests/v1');
const request: HttpRequest = { method: 'GET', url, side: 'source' };
const KIB = 1024;

interface Answer extends HttpResponse {
  /** Bytes that were taken of the body so far. */
  readonly taken: () => number;
}

/** An answer that sends pieces of 1 KiB. */
function answer(pieces: number, options: { announced?: number; failure?: Error } = {}): Answer {
  let taken = 0;
  function* bytes(): Generator<Buffer> {
    for (let sent = 0; sent < pieces; sent += 1) {
      taken += KIB;
      yield Buffer.alloc(KIB, sent);
    }
    if (options.failure !== undefined) throw options.failure;
  }
  const headers = options.announced === undefined ? {} : { 'content-length': String(options.announced) };
  const body = Readable.from(bytes(), { objectMode: false, highWaterMark: KIB });
  return { status: 200, headers, body, url, taken: () => taken };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof ImgcopyError && error.code === 'ERR_ANSWER_TOO_LARGE' && error.side === 'source';
}

test('reads a body whole, up to its limit', async () => {
  for (const pieces of [0, 1, 2, 5]) {
    const bytes = await readBody(answer(pieces, { announced: pieces * KIB }), request, 5 * KIB);
    assert.equal(bytes.length, pieces * KIB);
    if (pieces > 0) assert.equal(bytes.at(-1), pieces - 1);
  }
});

test('refuses a body that announces more than the limit, without reading it', async () => {
  const large = answer(100, { announced: 100 * KIB });
  await assert.rejects(readBody(large, request, 5 * KIB), isTooLarge);
  assert.equal(large.body.destroyed, true);
  assert.equal(large.taken(), 0);
});

test('stops reading at the limit where nothing was announced, or too little', async () => {
  for (const options of [{}, { announced: KIB }]) {
    const large = answer(100, options);
    await assert.rejects(readBody(large, request, 5 * KIB), isTooLarge);
    assert.equal(large.body.destroyed, true);
    assert.ok(large.taken() < 10 * KIB, `${large.taken()}`);
  }
});

test('says which request the body was cut of', async () => {
  const failure = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
  await assert.rejects(readBody(answer(1, { failure }), request, 5 * KIB), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.match(error.message, /^GET https:\/\/registry\.test\/v2\/app\/manifests\/v1: other side closed$/);
    return true;
  });
});

test('lets go of a short rest by reading it, so that its connection lives on', async () => {
  const short = answer(10, { announced: 10 * KIB });
  await dumpBody(short);
  assert.equal(short.taken(), 10 * KIB);
  assert.equal(short.body.readableEnded, true);
});

test('lets go of a long rest by closing it', async () => {
  const announced = answer(1000, { announced: 1000 * KIB });
  await dumpBody(announced);
  assert.deepEqual([announced.body.destroyed, announced.taken()], [true, 0]);
  const silent = answer(1000);
  await dumpBody(silent);
  assert.equal(silent.body.destroyed, true);
  assert.ok(silent.taken() < 140 * KIB);
});

test('does not mind how an unwanted body ends', async () => {
  await dumpBody(answer(1, { failure: new Error('cut') }));
  const gone = answer(1);
  gone.body.on('error', () => undefined).destroy(new Error('gone'));
  await dumpBody(gone);
});
