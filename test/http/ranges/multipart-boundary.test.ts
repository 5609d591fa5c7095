import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundaryOf, isMultipart } from '../../../src/http/ranges/multipart-boundary.ts';

const BOUNDARIES: readonly (readonly [string, string | undefined])[] = [
  ['multipart/byteranges; boundary=frontier', 'frontier'],
  ['multipart/byteranges;boundary=frontier', 'frontier'],
  ['Multipart/ByteRanges; BOUNDARY=Frontier', 'Frontier'],
  ['multipart/byteranges; boundary="frontier"', 'frontier'],
  ['multipart/byteranges; boundary="a b;c=d"', 'a b;c=d'],
  ['multipart/byteranges; boundary="a\\"b"', 'a"b'],
  [
    'multipart/byteranges; boundary=CloudFront:BC41A03FC2A4DE6E4B8B1C4F35F0A6A2',
    'CloudFront:BC41A03FC2A4DE6E4B8B1C4F35F0A6A2',
  ],
  ["multipart/byteranges; boundary=a'()+_,-./:=?", "a'()+_,-./:=?"],
  ['multipart/byteranges; boundary = frontier ; charset=x', 'frontier'],
  ['multipart/byteranges; charset=x; boundary=frontier', 'frontier'],
  ['multipart/byteranges; note="; boundary=wrong"; boundary=right', 'right'],
  ['multipart/byteranges; boundary=first; boundary=second', 'first'],
  [`multipart/byteranges; boundary=${'b'.repeat(70)}`, 'b'.repeat(70)],
  [`multipart/byteranges; boundary=${'b'.repeat(71)}`, undefined],
  ['multipart/byteranges', undefined],
  ['multipart/byteranges; boundary=', undefined],
  ['multipart/byteranges; boundary=""', undefined],
  ['multipart/byteranges; boundary="open', undefined],
  ['multipart/byteranges; notboundary=frontier', undefined],
  ['application/octet-stream; boundary=frontier', undefined],
];

for (const [contentType, boundary] of BOUNDARIES) {
  test(`finds ${boundary === undefined ? 'no boundary' : boundary} in ${contentType} (behaviour 5)`, () => {
    assert.equal(boundaryOf(contentType), boundary);
  });
}

test('tells a multipart type from others', () => {
  assert.equal(isMultipart('multipart/byteranges'), true);
  assert.equal(isMultipart('application/octet-stream'), false);
  assert.equal(isMultipart(undefined), false);
  assert.equal(boundaryOf(undefined), undefined);
});
