import assert from 'node:assert/strict';
import fc from 'fast-check';
import { boundaryOf } from '../../src/http/ranges/multipart-boundary.ts';
import { byteRanges, formatRange } from '../../src/http/ranges/byte-ranges.ts';
import { parseContentRange } from '../../src/http/ranges/content-range.ts';
import { multipartParts } from '../../src/http/ranges/multipart.ts';
import { readRanges } from '../../src/http/ranges/range-reader.ts';
import type { HttpRequest, HttpResponse } from '../../src/http/send/send.ts';
import { listTags } from '../../src/transports/registry/read/tag-list.ts';
import type { ImageSourceChunk } from '../../src/contract/blob-chunk-accessor.ts';
import { checkChunks } from '../../src/contract/check-chunks.ts';
import {
  bodyOf,
  infoOf,
  multipartAnswer,
  readAll,
  respond,
  sampleBlob,
  singleAnswer,
} from '../http/ranges/range-answers.ts';
import { nearly, nearlyBytes, nearlyJson } from './nearly.ts';
import { assertRefusal, type FuzzTarget, parsed, target } from './target.ts';

const BLOB = sampleBlob(60);
const CHUNKS: readonly ImageSourceChunk[] = [{ offset: 2, length: 5 }, { offset: 10, length: 9 }, { offset: 40 }];
const ANSWER = multipartAnswer(BLOB, byteRanges(CHUNKS, BLOB.length), { boundary: 'b' });
const TOKENS = ['\r\n', '\r\n--b', '--b--', '\r\n\r\n', 'Content-Range: bytes 2-6/60', 'content-range:', ':', '-', '/'];

const bodies = nearlyBytes([ANSWER.bytes], TOKENS);
const packets = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 });
const contentRanges = nearly(['bytes 2-6/60', 'bytes 2-59/*', 'bytes */60'], ['bytes', ' ', '-', '/', '9', '*']);
const contentTypes = nearly(
  ['multipart/byteranges; boundary=b', 'multipart/byteranges; charset="a;b"; boundary="CloudFront:b"'],
  ['boundary=', ';', '=', '"', '\\', ' '],
);

/** What servers answer, headers and bodies. */
export const HTTP_TARGETS: readonly FuzzTarget[] = [
  target('content-range', contentRanges, (text) => {
    const range = parseContentRange(text);
    if (range === undefined) return;
    const { start, end, total = Infinity } = range;
    assert.ok(start >= 0 && start < end && end <= total && Number.isSafeInteger(end));
  }),

  target('range', fc.array(fc.record({ offset: size(), length: fc.option(size(), { nil: undefined }) })), (chunks) => {
    if (parsed(() => (checkChunks(chunks, 100), true)) === undefined) return;
    assert.match(formatRange(chunks), /^bytes=(?:\d+-\d+,)*\d+-\d*$/);
    assert.ok(byteRanges(chunks, 100).every(({ start, end }) => start < end && end <= 100));
  }),

  target('boundary', contentTypes, (text) => {
    const boundary = boundaryOf(text);
    if (boundary !== undefined) assert.ok(boundary.length >= 1 && boundary.length <= 70);
  }),

  target('multipart', fc.tuple(bodies, packets), async ([bytes, sizes]) => {
    let delivered = 0;
    try {
      for await (const { range, body } of multipartParts(bodyOf(bytes, { packets: sizes }), 'b')) {
        let length = 0;
        for await (const piece of body) length += piece.length;
        assert.equal(length, range.end - range.start);
        delivered += length;
      }
    } catch (error) {
      assertRefusal(error);
    }
    assert.ok(delivered <= bytes.length);
  }),

  target(
    'range answer',
    fc.tuple(bodies, packets, answerHeaders(), fc.constantFrom(206, 206, 200, 416)),
    async (input) => {
      const [bytes, sizes, headers, status] = input;
      const answer = { status, headers: headers as Record<string, string>, bytes };
      const chunks = headers['content-range'] === undefined ? CHUNKS : CHUNKS.slice(0, 1);
      const readers = readRanges(async () => respond(answer, { packets: sizes }), infoOf(BLOB), chunks);
      const { read, error } = await readAll(readers);
      const lengths = byteRanges(chunks, BLOB.length).map(({ start, end }) => end - start);
      if (error !== undefined) assertRefusal(error);
      else
        assert.deepEqual(
          read.map(({ length }) => length),
          lengths,
        );
      assert.ok(read.every(({ length }, index) => length <= (lengths[index] ?? 0)));
    },
  ),

  target(
    'link',
    fc.tuple(nearly(links(), ['<', '>', ';', ',', 'rel=', '"', 'next', '//']), nearlyJson(tagLists())),
    async (input) => {
      const [link, list] = input;
      const urls: URL[] = [];
      const send = async ({ url }: HttpRequest): Promise<HttpResponse> => {
        const headers = urls.push(url) > 3 ? {} : { link };
        return { ...respond({ status: 200, headers, bytes: Buffer.from(list) }), url };
      };
      try {
        for await (const tag of listTags({ origin: 'https://registry.test', send }, 'app'))
          assert.equal(typeof tag, 'string');
      } catch (error) {
        assertRefusal(error);
      }
      assert.ok(urls.length <= 4);
      for (const url of urls) assert.equal(url.origin, 'https://registry.test');
    },
  ),
];

function size(): fc.Arbitrary<number> {
  return fc.oneof(fc.nat(100), fc.constantFrom(-1, 0.5, NaN, Infinity, 2 ** 53, 2 ** 53 - 1));
}

/** Headers of an answer to a request for ranges: of one part, or of many. */
function answerHeaders(): fc.Arbitrary<Readonly<Record<string, string | undefined>>> {
  const single = contentRanges.map((value) => ({ 'content-range': value }));
  const lengths = fc.option(nearly([`${ANSWER.bytes.length}`, '5', '0x5', '-5']), { nil: undefined });
  const right = fc.constantFrom(ANSWER.headers, singleAnswer(BLOB, { start: 2, end: 7 }).headers);
  const either = fc.oneof(
    single,
    contentTypes.map((value) => ({ 'content-type': value })),
    right,
  );
  return fc.tuple(either, lengths).map(([headers, length]) => ({
    ...headers,
    ...(length !== undefined && { 'content-length': length }),
  }));
}

function links(): readonly string[] {
  return [
    '</v2/app/tags/list?n=1000&last=v9>; rel="next"',
    '<https://other.test/v2/app/tags/list?last=a,b>; title="a, b"; rel=next',
    '<first>; rel="first", <?last=v1>; rel="prev next"',
  ];
}

function tagLists(): readonly object[] {
  return [
    { name: 'app', tags: ['v1', 'v2', 'latest'] },
    { name: 'app', tags: null },
  ];
}
