import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageSourceChunk } from '../../src/contract/blob-chunk-accessor.ts';
import { checkChunks } from '../../src/contract/check-chunks.ts';

const allowed: [string, ImageSourceChunk[], number?][] = [
  ['one chunk', [{ offset: 0, length: 1 }]],
  ['chunks that touch', [{ offset: 0, length: 5 }, { offset: 5, length: 5 }]], // prettier-ignore
  ['chunks with a gap', [{ offset: 2, length: 5 }, { offset: 10, length: 5 }], 15], // prettier-ignore
  ['a last chunk to the end', [{ offset: 0, length: 5 }, { offset: 9 }], 10], // prettier-ignore
  ['a whole blob', [{ offset: 0 }], 1],
];

for (const [what, chunks, size] of allowed) {
  test(`takes ${what}`, () => checkChunks(chunks, size));
}

const refused: [string, ImageSourceChunk[], RegExp, number?][] = [
  ['an empty list', [], /the list is empty/],
  ['a chunk without bytes', [{ offset: 4, length: 0 }], /chunk 4\+0 is empty/],
  ['a negative length', [{ offset: 4, length: -1 }], /chunk 4\+-1 is empty/],
  ['a negative offset', [{ offset: -1, length: 4 }], /chunk -1\+4 is no range/],
  ['half a byte', [{ offset: 0.5, length: 4 }], /is no range/],
  ['an end that a number cannot hold', [{ offset: 1, length: Number.MAX_SAFE_INTEGER }], /is no range/],
  ['chunks out of order', [{ offset: 9, length: 1 }, { offset: 0, length: 1 }], /chunk 0\+1 begins before byte 10/], // prettier-ignore
  ['chunks that overlap', [{ offset: 0, length: 5 }, { offset: 4, length: 5 }], /chunk 4\+5 begins before byte 5/], // prettier-ignore
  ['a chunk after one to the end', [{ offset: 0 }, { offset: 4, length: 5 }], /follows a chunk to the end/], // prettier-ignore
  ['a chunk beyond the blob', [{ offset: 0, length: 11 }], /beyond the 10 bytes/, 10],
  ['nothing at the end of the blob', [{ offset: 10 }], /chunk 10\+ goes beyond the 10 bytes/, 10],
];

for (const [what, chunks, message, size] of refused) {
  test(`refuses ${what} (behaviour 2)`, () => {
    assert.throws(() => checkChunks(chunks, size), { code: 'ERR_INVALID_CHUNKS', message });
  });
}
