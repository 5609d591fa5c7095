import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { byteRanges } from '../../../src/http/ranges/byte-ranges.ts';
import type { ByteRange } from '../../../src/io/byte-range.ts';
import { readRanges } from '../../../src/http/ranges/range-reader.ts';
import type { ImageSourceChunk } from '../../../src/contract/blob-chunk-accessor.ts';
import { BadPartialRequestError } from '../../../src/contract/errors.ts';
import {
  type Answer,
  askedBytes,
  type BodyOptions,
  infoOf,
  multipartAnswer,
  multipartPieces,
  type MultipartStyle,
  readAll,
  type ReadOutcome,
  respond,
  singleAnswer,
  wholeAnswer,
} from './range-answers.ts';
import { retries } from './range-cases.ts';

interface Asked {
  readonly blob: Buffer;
  readonly chunks: readonly ImageSourceChunk[];
}

/** Blobs that are full of what looks like boundaries and line breaks, and any list of chunks of them. */
const asked: fc.Arbitrary<Asked> = fc
  .array(fc.constantFrom('\r', '\n', '-', 'b', ':', '\r\n--b', '--b--', 'x'), { minLength: 2, maxLength: 120 })
  .chain((words) => {
    const blob = Buffer.from(words.join(''));
    const cuts = fc.uniqueArray(fc.nat(blob.length), { minLength: 2, maxLength: 12 });
    return fc.tuple(fc.constant(blob), cuts, fc.infiniteStream(fc.boolean()), fc.boolean());
  })
  .map(([blob, cuts, isTaken, isOpen]) => ({ blob, chunks: chunksBetween(cuts, isTaken, isOpen) }));

/** Every interval between two cuts, or none, is a chunk; the last always is one. */
function chunksBetween(cuts: readonly number[], isTaken: Iterator<boolean>, isOpen: boolean): ImageSourceChunk[] {
  const sorted = cuts.toSorted((one, other) => one - other);
  return sorted.slice(0, -1).flatMap((offset, index) => {
    const isLast = index === sorted.length - 2;
    if (!isLast && isTaken.next().value !== true) return [];
    return [{ offset, length: isLast && isOpen ? undefined : (sorted[index + 1] ?? 0) - offset }];
  });
}

const packets = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 });

const style: fc.Arbitrary<MultipartStyle> = fc
  .record({
    boundary: fc.constantFrom('b', 'CloudFront:0A', "x'()+_,-./=?", 'b'.repeat(70)),
    isQuoted: fc.boolean(),
    preamble: fc.constantFrom('', '', '\r\n', 'This is --b.\r\nIgnore it.', '\r\n--'),
    epilogue: fc.constantFrom('', '\r\n', '\r\nThe end.\r\n--b\r\nnot a part'),
    padding: fc.constantFrom('', '', ' ', '\t '),
    isTotalKnown: fc.boolean(),
  })
  .map(({ boundary, isQuoted, isTotalKnown, ...rest }) => ({
    ...rest,
    ...(isTotalKnown ? {} : { total: '*' }),
    boundary,
    contentType: `multipart/byteranges; boundary=${isQuoted ? `"${boundary}"` : boundary}`,
  }));

/** How a server turns the ranges it was asked for into parts. */
const arrangement = fc.record({
  /** Ranges with a gap up to this many bytes become one part; -1 leaves even adjacent ones apart. */
  coalesced: fc.constantFrom(-1, -1, 0, 3, 1000),
  order: fc.infiniteStream(fc.nat(1000)),
  isReordered: fc.boolean(),
});

interface Arrangement {
  readonly coalesced: number;
  readonly order: Iterator<number>;
  readonly isReordered: boolean;
}

function arrange(ranges: readonly ByteRange[], { coalesced, order, isReordered }: Arrangement): ByteRange[] {
  const parts: ByteRange[] = [];
  for (const range of ranges) {
    const previous = parts.at(-1);
    if (previous !== undefined && range.start - previous.end <= coalesced) {
      parts[parts.length - 1] = { start: previous.start, end: range.end };
    } else parts.push(range);
  }
  if (!isReordered) return parts;
  return parts
    .map((part) => ({ part, key: Number(order.next().value) }))
    .toSorted((one, other) => one.key - other.key)
    .map(({ part }) => part);
}

type Server = (blob: Buffer, chunks: readonly ImageSourceChunk[]) => Answer;

/** A server that gives what was asked for, in any way that it may. */
const honest: fc.Arbitrary<Server> = fc
  .tuple(fc.constantFrom('multipart', 'multipart', 'multipart', 'single', 'whole'), style, arrangement)
  .map(([kind, how, parts]) => (blob, chunks) => {
    const ranges = byteRanges(chunks, blob.length);
    if (kind === 'whole') return wholeAnswer(blob);
    if (kind === 'single') return singleAnswer(blob, { start: ranges[0]?.start ?? 0, end: ranges.at(-1)?.end ?? 0 });
    return multipartAnswer(blob, arrange(ranges, parts), how);
  });

async function ask({ blob, chunks }: Asked, answer: Answer, options: BodyOptions): Promise<ReadOutcome> {
  return readAll(readRanges(async () => respond(answer, options), infoOf(blob), chunks));
}

function assertAll({ read, error }: ReadOutcome, { blob, chunks }: Asked): void {
  assert.equal(error, undefined);
  assert.deepEqual(read, askedBytes(blob, chunks));
}

/** What was delivered is what was asked for, as far as it goes: only the last reader may lack bytes. */
function assertBeginning({ read, error }: ReadOutcome, { blob, chunks }: Asked): void {
  assert.ok(error instanceof ImgcopyError, String(error));
  if (error instanceof BadPartialRequestError) assert.deepEqual(read, []);
  const expected = askedBytes(blob, chunks);
  for (const [index, content] of read.entries()) {
    const isLast = index === read.length - 1;
    assert.deepEqual(content, isLast ? expected[index]?.subarray(0, content.length) : expected[index]);
  }
}

test('gives exactly the bytes asked for, whatever the chunks, the packets and the form of the answer', async () => {
  await fc.assert(
    fc.asyncProperty(asked, honest, packets, async (request, server, sizes) => {
      assertAll(await ask(request, server(request.blob, request.chunks), { packets: sizes }), request);
    }),
    { numRuns: 600 },
  );
});

test('gives what arrived and then an error, wherever an answer is cut off', async () => {
  await fc.assert(
    fc.asyncProperty(asked, honest, packets, fc.nat(), fc.boolean(), async (request, server, sizes, cut, isClean) => {
      const answer = server(request.blob, request.chunks);
      const failure = isClean ? undefined : new Error('socket hang up');
      const options = { packets: sizes, arriving: cut % (answer.bytes.length + 1), failure };
      const outcome = await ask(request, answer, options);
      if (outcome.error === undefined) return assertAll(outcome, request);
      assertBeginning(outcome, request);
      assert.equal((outcome.error as ImgcopyError).code, 'ERR_SHORT_RANGE');
    }),
    { numRuns: 400 },
  );
});

test('gives all bytes when the rest of every cut answer is asked for, from servers of all forms', async () => {
  const cuts = fc.array(fc.record({ server: honest, cut: fc.nat(), sizes: packets, isClean: fc.boolean() }), {
    minLength: 1,
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(asked, cuts, honest, async (request, broken, last) => {
      let asks = 0;
      const fetch = async (chunks: readonly ImageSourceChunk[]): Promise<ReturnType<typeof respond>> => {
        const fault = broken[asks];
        asks += 1;
        if (fault === undefined) return respond(last(request.blob, chunks));
        const answer = fault.server(request.blob, chunks);
        const failure = fault.isClean ? undefined : new Error('socket hang up');
        return respond(answer, { packets: fault.sizes, arriving: fault.cut % (answer.bytes.length + 1), failure });
      };
      const resume = retries(broken.length);
      assertAll(await readAll(readRanges(fetch, infoOf(request.blob), request.chunks, { resume })), request);
    }),
    { numRuns: 400 },
  );
});

/** Servers that give something else than what was asked for, and say so. */
const faults: Readonly<Record<string, (request: Asked, how: MultipartStyle) => Answer>> = {
  'the first part alone': ({ blob, chunks }) => singleAnswer(blob, byteRanges(chunks.slice(0, 1), blob.length)[0]!),
  'parts that are shifted': ({ blob, chunks }, how) =>
    multipartAnswer(blob, byteRanges(chunks, blob.length), { ...how, shift: blob.length }),
  'parts of another blob': ({ blob, chunks }, how) =>
    multipartAnswer(blob, byteRanges(chunks, blob.length), { ...how, total: blob.length + 1 }),
  'all parts but the last': ({ blob, chunks }, how) =>
    multipartAnswer(blob, byteRanges(chunks, blob.length).slice(0, -1), how),
  'all parts twice': ({ blob, chunks }, how) => {
    const ranges = byteRanges(chunks, blob.length);
    return multipartAnswer(blob, [...ranges, ...ranges], how);
  },
  'a blob that is too short': ({ blob }) => ({ status: 200, headers: {}, bytes: blob.subarray(0, -1) }),
  'a blob of another size': ({ blob }) => wholeAnswer(Buffer.concat([blob, Buffer.from('x')])),
};

for (const [what, fault] of Object.entries(faults)) {
  test(`gives exactly the bytes asked for or an error when the server sends ${what}`, async () => {
    await fc.assert(
      fc.asyncProperty(asked, style, packets, async (request, how, sizes) => {
        const outcome = await ask(request, fault(request, how), { packets: sizes });
        if (outcome.error === undefined) return assertAll(outcome, request);
        assertBeginning(outcome, request);
        if (what === 'the first part alone') assert.ok(outcome.error instanceof BadPartialRequestError);
      }),
      { numRuns: 100 },
    );
  });
}

test('gives exactly the bytes asked for or an error when the text between the parts is damaged', async () => {
  const edit = fc.record({
    piece: fc.nat(),
    at: fc.nat(),
    removed: fc.nat(3),
    inserted: fc.constantFrom('', '0', '9', '\r\n', '-', ':', ' ', '--', 'x'.repeat(9000), '\r\n\r\n'),
  });
  await fc.assert(
    fc.asyncProperty(asked, style, packets, edit, async (request, how, sizes, { piece, at, removed, inserted }) => {
      const { blob, chunks } = request;
      const { pieces, ...answer } = multipartPieces(blob, byteRanges(chunks, blob.length), how);
      const index = 2 * (piece % Math.ceil(pieces.length / 2));
      const text = pieces[index]?.toString('latin1') ?? '';
      const position = at % (text.length + 1);
      pieces[index] = Buffer.from(text.slice(0, position) + inserted + text.slice(position + removed), 'latin1');
      const outcome = await ask(request, { ...answer, bytes: Buffer.concat(pieces) }, { packets: sizes });
      if (outcome.error === undefined) return assertAll(outcome, request);
      assert.ok(outcome.error instanceof ImgcopyError);
    }),
    { numRuns: 600 },
  );
});
