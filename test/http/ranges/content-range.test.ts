import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseContentRange } from '../../../src/http/ranges/content-range.ts';

test('reads where a part begins and ends, and the size of the whole', () => {
  assert.deepEqual(parseContentRange('bytes 0-4/15'), { start: 0, end: 5, total: 15 });
  assert.deepEqual(parseContentRange('bytes 7-7/8'), { start: 7, end: 8, total: 8 });
  assert.deepEqual(parseContentRange('bytes 0-4/*'), { start: 0, end: 5, total: undefined });
  assert.deepEqual(parseContentRange(' Bytes  10-14/15 '), { start: 10, end: 15, total: 15 });
  assert.deepEqual(parseContentRange('bytes 0-9007199254740989/9007199254740990'), {
    start: 0,
    end: 9007199254740990,
    total: 9007199254740990,
  });
});

const INVALID = {
  'no header': undefined,
  'an empty header': '',
  'another unit': 'lines 0-4/15',
  'an unsatisfied range': 'bytes */15',
  'no total': 'bytes 0-4',
  'no unit': '0-4/15',
  'the form of a request': 'bytes=0-4/15',
  'a range that ends before it begins': 'bytes 5-4/15',
  'a range beyond its total': 'bytes 0-15/15',
  'numbers that lose their last digits': 'bytes 0-9007199254740992/*',
  'a sign': 'bytes -1-4/15',
  'two ranges': 'bytes 0-4/15, bytes 5-9/15',
} as const;

for (const [what, value] of Object.entries(INVALID)) {
  test(`takes no range from ${what}`, () => {
    assert.equal(parseContentRange(value), undefined);
  });
}
