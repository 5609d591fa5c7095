import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { readBody } from '../../../src/http/send/body.ts';
import { collect } from '../../../src/http/send/collect.ts';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import type { HttpRequest, HttpResponse } from '../../../src/http/send/send.ts';

const url = new URL('https://registry.test/v2/app/manifests/v1');
const get: HttpRequest = { method: 'GET', url, side: 'source', answerBody: { maxBytes: 1000 } };
const content = Buffer.from('content '.repeat(100));

interface Answer {
  readonly status?: number;
  readonly encoding?: string | undefined;
  readonly body: Buffer | Readable;
}

/** What becomes of an answer; `tickMs` pass with each look at the clock. */
async function collected(
  request: HttpRequest,
  { status = 200, encoding, body }: Answer,
  tickMs = 0,
): Promise<HttpResponse> {
  let time = 0;
  const now = (): number => (time += tickMs);
  const readable = body instanceof Readable ? body : Readable.from([body], { objectMode: false });
  const headers = encoding === undefined ? {} : { 'content-encoding': encoding, 'content-length': '1' };
  const send = collect({ timeoutMs: 1000, now })(() => Promise.resolve({ status, headers, body: readable, url }));
  return await send(request);
}

function failing(bytes: Buffer): Readable {
  return Readable.from(
    (function* () {
      yield bytes;
      throw Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
    })(),
    { objectMode: false },
  );
}

test('hands a body on as bytes, and as a stream to who wants one', async () => {
  for (const status of [200, 404]) {
    const response = await collected(get, { status, body: content });
    assert.deepEqual(response.bytes, content);
    assert.deepEqual(await readBody(response, get, content.length), content);
    assert.deepEqual(await buffer(response.body), content);
    await assert.rejects(readBody(response, get, content.length - 1), { code: 'ERR_ANSWER_TOO_LARGE' });
  }
});

test('decodes a body that was compressed although the request forbids it', async () => {
  const cases: readonly [encoding: string, body: Buffer][] = [
    ['identity', content],
    ['gzip', gzipSync(content)],
    ['X-GZip', gzipSync(content)],
    ['deflate', deflateSync(content)],
    ['deflate', deflateRawSync(content)],
    ['br', brotliCompressSync(content)],
    ['zstd', zstdCompressSync(content)],
    ['gzip, br', brotliCompressSync(gzipSync(content))],
  ];
  for (const [encoding, body] of cases) {
    for (const status of [200, 403]) {
      const response = await collected(get, { status, encoding, body });
      assert.deepEqual(await buffer(response.body), content, `${encoding} ${status}`);
      assert.deepEqual(response.headers, {}, 'no header tells how it came');
    }
  }
});

test('refuses an unknown encoding, wrong bytes, and more bytes than the limit once they are decoded', async () => {
  const cases: readonly [encoding: string, body: Buffer, code: string][] = [
    ['compress', content, 'ERR_CONTENT_ENCODING'],
    ['gzip', content, 'ERR_CONTENT_ENCODING'],
    ['gzip', gzipSync(content).subarray(0, 20), 'ERR_CONTENT_ENCODING'],
    ['gzip', gzipSync(Buffer.alloc(1001)), 'ERR_ANSWER_TOO_LARGE'],
  ];
  for (const [encoding, body, code] of cases) {
    await assert.rejects(
      collected(get, { encoding, body }),
      (error) => error instanceof ImgcopyError && error.code === code,
    );
    const refusal = await collected(get, { status: 403, encoding: 'compress', body });
    assert.deepEqual([refusal.status, await buffer(refusal.body)], [403, Buffer.alloc(0)], 'the status is the answer');
  }
});

test('hands on as it comes what is asked for as a stream', async () => {
  const body = Readable.from([content]);
  const response = await collected({ ...get, answerBody: 'stream' }, { encoding: 'gzip', body });
  assert.equal(response.body, body);
  assert.equal(response.headers['content-encoding'], 'gzip');
});

test('fails with a body that is needed and cut', async () => {
  await assert.rejects(collected(get, { body: failing(content) }), NetworkError);
});

test('keeps the status, and what came of the body, where the status is the answer', async () => {
  const requests: readonly HttpRequest[] = [get, { ...get, answerBody: 'stream' }, { ...get, answerBody: undefined }];
  for (const request of requests) {
    const response = await collected(request, { status: 403, body: failing(content) });
    assert.deepEqual([response.status, await buffer(response.body)], [403, content]);
  }
  const created = await collected({ ...get, answerBody: undefined }, { status: 201, body: failing(content) });
  assert.equal(created.status, 201);
});

test('reads an endless body of an error no further than it needs', async () => {
  let sent = 0;
  const endless = Readable.from(
    (function* () {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(64 * 1024);
      }
    })(),
    { objectMode: false },
  );
  assert.equal((await collected(get, { status: 403, body: endless })).status, 403);
  assert.equal(endless.destroyed, true);
  assert.ok(sent < 5, `${sent}`);
});

test('gives up a body that comes below 16 KB/s once the timeout is over, and takes one that is faster', async () => {
  const packets = (bytes: number): Readable =>
    Readable.from(
      Array.from({ length: 50 }, () => Buffer.alloc(bytes)),
      { objectMode: false },
    );
  const large = { ...get, answerBody: { maxBytes: 1_000_000 } };
  await assert.rejects(collected(large, { body: packets(1000) }, 100), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.deepEqual([error.failure, error.code], ['timeout', 'ERR_TIMEOUT']);
    assert.match(error.message, /too slowly: only \d+ bytes/);
    return true;
  });
  assert.equal((await buffer((await collected(large, { body: packets(2000) }, 100)).body)).length, 100_000);
});

test('ends with the signal, not with what came until then', async () => {
  const reason = new Error('enough');
  const request = { ...get, signal: AbortSignal.abort(reason) };
  await assert.rejects(collected(request, { status: 403, body: failing(content) }), reason);
});
