import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { multipartParts } from '../../../src/http/ranges/multipart.ts';
import { RangeBodyError } from '../../../src/http/ranges/range-errors.ts';
import { bodyOf, multipartAnswer, sampleBlob } from './range-answers.ts';

interface ReadPart {
  readonly headers: Record<string, string>;
  readonly content: string;
}

async function readParts(text: string | Buffer, packets?: readonly number[]): Promise<ReadPart[]> {
  const parts: ReadPart[] = [];
  for await (const { headers, body } of multipartParts(bodyOf(Buffer.from(text), { packets }), 'b')) {
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    parts.push({ headers: Object.fromEntries(headers), content: Buffer.concat(pieces).toString('latin1') });
  }
  return parts;
}

const TWO_PARTS =
  '--b\r\nContent-Range: bytes 0-4/15\r\n\r\nhello\r\n--b\r\nContent-Range: bytes 10-14/15\r\n\r\nworld\r\n--b--\r\n';

async function assertTwoParts(text: string, packets?: readonly number[]): Promise<void> {
  const parts = await readParts(text, packets);
  assert.deepEqual(
    parts.map(({ content }) => content),
    ['hello', 'world'],
  );
}

test('reads the parts of a body', async () => {
  assert.deepEqual(await readParts(TWO_PARTS), [
    { headers: { 'content-range': 'bytes 0-4/15' }, content: 'hello' },
    { headers: { 'content-range': 'bytes 10-14/15' }, content: 'world' },
  ]);
});

test('reads the same from packets of any size', async () => {
  for (let size = 1; size < TWO_PARTS.length; size += 1) await assertTwoParts(TWO_PARTS, [size]);
  for (let cut = 1; cut < TWO_PARTS.length; cut += 1) await assertTwoParts(TWO_PARTS, [cut, TWO_PARTS.length - cut]);
});

const ACCEPTED = {
  'a line break before the first boundary': `\r\n${TWO_PARTS}`,
  'a preamble': `This is a multipart answer.\r\nIgnore --b this.\r\n${TWO_PARTS}`,
  'a preamble with lines that begin like the boundary': `\r\n--bc\r\n--b0\r\n${TWO_PARTS}`,
  'an epilogue': `${TWO_PARTS}The end.\r\n--b\r\nnot a part`,
  'white space after a boundary': TWO_PARTS.replaceAll('--b\r\n', '--b \t\r\n'),
  'nothing after the last boundary': TWO_PARTS.slice(0, -2),
  'no space after the colon of a header': TWO_PARTS.replaceAll(': ', ':'),
};

for (const [what, text] of Object.entries(ACCEPTED)) {
  test(`accepts ${what}`, async () => {
    await assertTwoParts(text);
    await assertTwoParts(text, [1]);
  });
}

test('takes content for content, whatever it looks like', async () => {
  const content = '\r\n--b\r\nContent-Range: bytes 0-4/15\r\n\r\n\r\n--b--';
  const text = `--b\r\nContent-Range: bytes 0-${content.length - 1}/*\r\n\r\n${content}\r\n--b--`;
  assert.deepEqual(
    (await readParts(text)).map((part) => part.content),
    [content],
  );
});

test('joins the values of a header that comes twice', async () => {
  const text = '--b\r\nX-Note: one\r\nContent-Range: bytes 0-0/*\r\nx-note: two\r\n\r\n!\r\n--b--';
  assert.equal((await readParts(text))[0]?.headers['x-note'], 'one, two');
});

test('reads a body without parts', async () => {
  assert.deepEqual(await readParts('--b--\r\n'), []);
});

const HEADER = 'Content-Range: bytes 0-4/15';
const MALFORMED = {
  'a folded header': `--b\r\n${HEADER}\r\nX-Note: one\r\n two\r\n\r\nhello\r\n--b--`,
  'a header line without a colon': `--b\r\n${HEADER}\r\nnonsense\r\n\r\nhello\r\n--b--`,
  'a header without a name': `--b\r\n${HEADER}\r\n: x\r\n\r\nhello\r\n--b--`,
  'a space before the colon of a header': `--b\r\nContent-Range : bytes 0-4/15\r\n\r\nhello\r\n--b--`,
  'a header of more than 8 KiB': `--b\r\n${HEADER}\r\nX-Note: ${'x'.repeat(8192)}\r\n\r\nhello\r\n--b--`,
  'a header that does not end': `--b\r\n${'x'.repeat(100_000)}`,
  'a preamble of more than 64 KiB': `${'x'.repeat(65_537)}\r\n${TWO_PARTS}`,
  'a preamble that goes on and on': '\r\n--bb'.repeat(20_000),
  'no headers': '--b\r\n\r\nhello\r\n--b--',
  'no Content-Range': '--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--',
  'two Content-Ranges': `--b\r\n${HEADER}\r\n${HEADER}\r\n\r\nhello\r\n--b--`,
  'text after a boundary': `--b text\r\n${HEADER}\r\n\r\nhello\r\n--b--`,
  'a part longer than its Content-Range': `--b\r\n${HEADER}\r\n\r\nhello!\r\n--b--\r\n`,
  'a part shorter than its Content-Range': `--b\r\n${HEADER}\r\n\r\nhell\r\n--b--\r\n and some more of an epilogue`,
  'another boundary after a part': `--b\r\n${HEADER}\r\n\r\nhello\r\n--c--\r\n`,
};

for (const [what, text] of Object.entries(MALFORMED)) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(readParts(text), { code: 'ERR_BAD_MULTIPART' });
    await assert.rejects(readParts(text, [1000, 1, 7]), { code: 'ERR_BAD_MULTIPART' });
  });
}

test('takes the end of a body at any place before the last boundary for a cut', async () => {
  for (let length = 0; length < TWO_PARTS.length - 2; length += 1) {
    await assert.rejects(readParts(TWO_PARTS.slice(0, length)), { code: 'ERR_SHORT_RANGE' }, `${length} bytes`);
  }
});

test('skips what is not read of a part', async () => {
  const contents: string[] = [];
  for await (const { range, body } of multipartParts(bodyOf(Buffer.from(TWO_PARTS), { packets: [3] }), 'b')) {
    if (range.start === 0) continue;
    for await (const piece of body) {
      contents.push(piece.toString());
      break;
    }
  }
  assert.equal(contents.length, 1);
  assert.ok('world'.startsWith(contents[0] ?? '?'));
});

test('hands out the bytes of a part before the part is complete', async () => {
  const body = new Readable({ read: () => undefined });
  body.push('--b\r\nContent-Range: bytes 0-9/10\r\n\r\nhello');
  const parts = multipartParts(body, 'b');
  const { value: part } = await parts.next();
  const pieces = part?.body[Symbol.asyncIterator]();
  assert.equal(String((await pieces?.next())?.value), 'hello');
  body.push('world\r\n--b--');
  assert.equal(String((await pieces?.next())?.value), 'world');
  body.push(null);
  assert.equal((await parts.next()).done, true);
});

test('hands out a part without copying it', async () => {
  const packet = Buffer.alloc(1000, 'x');
  const text = Buffer.from('--b\r\nContent-Range: bytes 0-2999/*\r\n\r\n');
  const body = Readable.from([text, packet, packet, packet, Buffer.from('\r\n--b--')], { objectMode: true });
  const pieces: Buffer[] = [];
  for await (const part of multipartParts(body, 'b')) for await (const piece of part.body) pieces.push(piece);
  assert.deepEqual(
    pieces.map((piece) => piece.buffer === packet.buffer && piece.length),
    [1000, 1000, 1000],
  );
});

test('destroys the body when the loop is left', async () => {
  const body = bodyOf(Buffer.from(TWO_PARTS));
  for await (const part of multipartParts(body, 'b')) {
    assert.equal(part.range.start, 0);
    break;
  }
  assert.equal(body.destroyed, true);
});

test('reads an epilogue to its end, unless it is long', async () => {
  const answer = multipartAnswer(sampleBlob(10), [{ start: 0, end: 5 }], { boundary: 'b' });
  for (const [length, isReadToEnd] of [
    [1000, true],
    [1_000_000, false],
  ] as const) {
    const body = bodyOf(Buffer.concat([answer.bytes, Buffer.alloc(length)]), { packets: [4096] });
    let hasEnded = false;
    body.once('end', () => (hasEnded = true));
    for await (const part of multipartParts(body, 'b')) assert.equal(part.range.end, 5);
    assert.equal(hasEnded, isReadToEnd);
    assert.equal(body.destroyed, true);
  }
});

test('finds parts or an error in any bytes', async () => {
  const text = fc.constantFrom(
    '--b',
    '\r\n',
    '\r\n--b',
    '--',
    'Content-Range: bytes ',
    '0-4/15',
    ':',
    ' ',
    'hello',
    'x',
  );
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 30 }), sizes, async (words, packets) => {
      const error = await readParts(words.join(''), packets).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(error === undefined || error instanceof RangeBodyError, String(error));
    }),
    { numRuns: 500 },
  );
});
