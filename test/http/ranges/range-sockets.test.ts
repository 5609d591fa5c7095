import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import { Agent } from 'undici';
import { formatRange } from '../../../src/http/ranges/byte-ranges.ts';
import type { ByteRange } from '../../../src/io/byte-range.ts';
import { readRanges, type ReadRangesOptions } from '../../../src/http/ranges/range-reader.ts';
import type { FetchRanges } from '../../../src/http/ranges/range-resume.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import {
  type Answer,
  askedBytes,
  infoOf,
  multipartAnswer,
  readAll,
  sampleBlob,
  singleAnswer,
  wholeAnswer,
} from './range-answers.ts';
import { retries } from './range-cases.ts';

const BLOB = sampleBlob(1_000_000);
const INFO = infoOf(BLOB);
const CHUNKS: readonly ImageSourceChunk[] = [
  { offset: 0, length: 5 },
  { offset: 1000, length: 300_000 },
  { offset: 900_000 },
];

type Handler = (ranges: ByteRange[], response: ServerResponse, request: IncomingMessage) => void;

interface Registry {
  readonly fetch: FetchRanges;
  readonly requests: string[];
  connections: number;
}

/** A server whose handlers answer one request each, the last all that follow, and a way to ask it. */
async function serve(t: TestContext, ...handlers: readonly Handler[]): Promise<Registry> {
  const server = createServer((request, response) => {
    const range = request.headers.range ?? '';
    const handler = handlers[Math.min(registry.requests.push(range), handlers.length) - 1];
    handler?.(parseRange(range), response, request);
  });
  server.on('connection', () => (registry.connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new Agent({ allowH2: false });
  t.after(async () => {
    await agent.destroy();
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/app/blobs/${INFO.digest}`);
  const { origin, pathname: path } = url;
  const registry: Registry = {
    requests: [],
    connections: 0,
    fetch: async (chunks, signal) => {
      const headers = { range: formatRange(chunks), 'accept-encoding': 'identity' };
      const answer = await agent.request({ origin, path, method: 'GET', headers, signal });
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url };
    },
  };
  return registry;
}

function parseRange(header: string): ByteRange[] {
  return header
    .replace('bytes=', '')
    .split(',')
    .map((spec) => spec.split('-'))
    .map(([first, last]) => ({ start: Number(first), end: last ? Number(last) + 1 : BLOB.length }));
}

const sendMultipart: Handler = (ranges, response) => send(response, multipartAnswer(BLOB, ranges));
const sendSingle: Handler = ([range = { start: 0, end: 0 }], response) => send(response, singleAnswer(BLOB, range));
const sendWhole: Handler = (_ranges, response) => send(response, wholeAnswer(BLOB));

function send(response: ServerResponse, { status, headers, bytes }: Answer): void {
  response.writeHead(status, headers).end(bytes);
}

/** Sends the head and the beginning of an answer, and then closes the connection. */
function sendCut(response: ServerResponse, answer: Answer, length: number): void {
  response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.bytes.length });
  response.write(answer.bytes.subarray(0, length), () => response.destroy());
}

async function assertReads(registry: Registry, chunks = CHUNKS, options: ReadRangesOptions = {}): Promise<void> {
  const { read, error } = await readAll(readRanges(registry.fetch, INFO, chunks, options));
  assert.equal(error, undefined);
  const expected = askedBytes(BLOB, chunks);
  assert.equal(read.length, expected.length);
  for (const [index, bytes] of expected.entries()) assert.ok(read[index]?.equals(bytes), `chunk ${index}`);
}

test('reads ranges over one connection, request after request (behaviour 53)', async (t) => {
  const registry = await serve(t, sendMultipart, sendSingle, sendWhole, sendMultipart);
  await assertReads(registry);
  await assertReads(registry, [{ offset: 1000, length: 300_000 }]);
  await assertReads(registry, [{ offset: 900_000 }]);
  await assertReads(registry);
  assert.deepEqual(registry.requests, [
    'bytes=0-4,1000-300999,900000-',
    'bytes=1000-300999',
    'bytes=900000-',
    'bytes=0-4,1000-300999,900000-',
  ]);
  assert.equal(registry.connections, 1);
});

test('asks again over the same connection after a refusal', async (t) => {
  const registry = await serve(
    t,
    (_ranges, response) => send(response, { status: 416, headers: {}, bytes: Buffer.from('no') }),
    sendSingle,
  );
  await assert.rejects(readRanges(registry.fetch, INFO, CHUNKS).next(), {
    code: 'ERR_BAD_PARTIAL_REQUEST',
    status: 416,
  });
  await assertReads(registry, [{ offset: 0, length: 5 }]);
  assert.equal(registry.connections, 1);
});

test('resumes from its offset after the connection drops', async (t) => {
  const registry = await serve(
    t,
    (ranges, response) => sendCut(response, multipartAnswer(BLOB, ranges), 200_000),
    (ranges, response) => sendCut(response, multipartAnswer(BLOB, ranges), 50_000),
    sendMultipart,
  );
  await assertReads(registry, CHUNKS, { resume: retries(3) });
  const offsets = registry.requests.map((range) => Number(/=(\d+)/.exec(range)?.[1]));
  assert.equal(registry.requests.length, 3);
  assert.ok((offsets[1] ?? 0) > 100_000 && (offsets[1] ?? 0) < (offsets[2] ?? 0), String(offsets));
  for (const range of registry.requests.slice(1)) assert.match(range, /^bytes=\d+-300999,900000-$/);
});

test('gives a slow reader every byte that arrived before the connection dropped (behaviour 12)', async (t) => {
  const arriving = 50_000;
  const registry = await serve(t, ([range], response, request) => {
    sendCut(response, singleAnswer(BLOB, range ?? { start: 0, end: 0 }), arriving);
    request.socket.once('close', () => closed.resolve());
  });
  const closed = Promise.withResolvers<void>();
  const readers = readRanges(registry.fetch, INFO, [{ offset: 0 }]);
  const { value: reader } = await readers.next();
  await closed.promise;
  const received: Buffer[] = [];
  await assert.rejects(
    async () => {
      for await (const bytes of reader ?? []) received.push(bytes as Buffer);
    },
    { code: 'ERR_SHORT_RANGE' },
  );
  assert.ok(Buffer.concat(received).equals(BLOB.subarray(0, arriving)));
});

test('closes the connection when the loop is left (behaviour 11)', async (t) => {
  const closed = Promise.withResolvers<void>();
  const registry = await serve(t, (_ranges, response) => {
    response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 1000));
    response.once('close', () => closed.resolve());
  });
  for await (const reader of readRanges(registry.fetch, INFO, CHUNKS)) {
    assert.ok(reader.readable);
    break;
  }
  await closed.promise;
});

test('closes the connection when a reader is destroyed, as by a pipeline that fails', async (t) => {
  const closed = Promise.withResolvers<void>();
  const registry = await serve(t, (_ranges, response) => {
    response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 1000));
    response.once('close', () => closed.resolve());
  });
  const readers = readRanges(registry.fetch, INFO, [{ offset: 0 }]);
  const { value: reader } = await readers.next();
  const full = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) });
  assert.ok(reader);
  await assert.rejects(pipeline(reader, full), { message: 'disk full' });
  await closed.promise;
  await assert.rejects(readers.next());
});

test('takes a whole blob no further than the last chunk', async (t) => {
  const closed = Promise.withResolvers<void>();
  const registry = await serve(t, (_ranges, response) => {
    response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 500_000));
    response.once('close', () => closed.resolve());
  });
  await assertReads(registry, [
    { offset: 10, length: 5 },
    { offset: 1000, length: 300_000 },
  ]);
  await closed.promise;
});

test('closes the connection when the signal aborts while a body is silent', async (t) => {
  const controller = new AbortController();
  const closed = Promise.withResolvers<void>();
  const registry = await serve(t, (_ranges, response) => {
    response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 1000));
    response.once('close', () => closed.resolve());
  });
  const { signal } = controller;
  const readers = readRanges(registry.fetch, INFO, [{ offset: 0 }], { signal, resume: retries(3) });
  const { value: reader } = await readers.next();
  const reading = (async (): Promise<number> => {
    let size = 0;
    for await (const bytes of reader ?? []) {
      size += (bytes as Buffer).length;
      setImmediate(() => controller.abort(new Error('enough')));
    }
    return size;
  })();
  await assert.rejects(reading, { message: 'enough' });
  await closed.promise;
  assert.equal(registry.requests.length, 1);
});
