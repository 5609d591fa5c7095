import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { ContentMismatchError, digestOf, type ExpectedContent } from '../../src/digest/digest.ts';
import { verifiedStream } from '../../src/digest/verified-stream.ts';

const content = Buffer.from('the content of a blob');
const expected: ExpectedContent = { digest: digestOf(content), size: content.length };

/** What a reader gets, and the error that it meets. */
async function read(pieces: readonly Buffer[], wanted: ExpectedContent): Promise<[bytes: Buffer, error: unknown]> {
  const got: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      got.push(chunk);
      done();
    },
  });
  const error: unknown = await pipeline(Readable.from(pieces), verifiedStream(wanted), sink).catch(
    (caught: unknown) => caught,
  );
  return [Buffer.concat(got), error];
}

test('passes the right content on, byte for byte', async () => {
  const [bytes, error] = await read([content.subarray(0, 5), content.subarray(5)], expected);
  assert.deepEqual(bytes, content);
  assert.equal(error, undefined);
});

test('takes an empty blob for what it is', async () => {
  const empty = Buffer.alloc(0);
  const [bytes, error] = await read([], { digest: digestOf(empty), size: 0 });
  assert.deepEqual([bytes.length, error], [0, undefined]);
});

test('fails in the place of its end when the content is wrong (behaviour 14)', async () => {
  const wrong = Buffer.from(content);
  wrong.writeUInt8(wrong.readUInt8(0) ^ 1, 0);
  for (const pieces of [[wrong], [content.subarray(1)], []]) {
    const stream = Readable.from(pieces).pipe(verifiedStream(expected));
    let ended = false;
    stream.on('end', () => (ended = true));
    await assert.rejects(buffer(stream), ContentMismatchError);
    assert.equal(ended, false);
  }
});

test('names both digests when the content is wrong (behaviour 14)', async () => {
  const wrong = Buffer.from(content.toString().replace('the', 'The'));
  const [, error] = await read([wrong], expected);
  assert.ok(error instanceof ContentMismatchError);
  assert.deepEqual([error.expected, error.found], [expected.digest, digestOf(wrong)]);
  assert.ok(error.message.includes(error.expected) && error.message.includes(error.found));
});

test('lets nothing of the piece through with which the content gets too long', async () => {
  const [bytes, error] = await read([content, Buffer.from('more')], expected);
  assert.deepEqual(bytes, content);
  assert.ok(error instanceof ContentMismatchError);
});

test('hands the error of its source on', async () => {
  const failure = new Error('cut');
  const source = Readable.from(
    (function* () {
      yield content.subarray(0, 3);
      throw failure;
    })(),
  );
  await assert.rejects(
    pipeline(source, verifiedStream(expected), new Writable({ write: (_c, _e, done) => done() })),
    failure,
  );
});
