import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gapDigests } from '../../../src/partial/toc/tar-split.ts';
import { UnusableTailError } from '../../../src/partial/toc/unusable-tail-error.ts';
import { inParts } from '../../support/in-parts.ts';

const raw = (bytes: string): object => ({ type: 2, payload: Buffer.from(bytes).toString('base64') });
const file = (size?: number): object => ({ type: 1, name: 'ünï', size, payload: 'AAAAAAAAAAA=' });
const textOf = (records: readonly object[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('headers and padding between two contents are one gap, past files that are empty', async () => {
  const records = [raw('one'), file(), raw('two'), file(9), raw('pad'), raw('three'), file(5), file(1), raw('end')];
  for (const size of [1, 10, 65536]) {
    assert.deepEqual(
      await gapDigests(inParts(textOf(records), size)),
      ['onetwo', 'padthree', '', 'end'].map((gap) => sha256(gap)),
    );
  }
});

test('a tar-split without a final line break, or without anything, is read', async () => {
  assert.deepEqual(await gapDigests(inParts(JSON.stringify(raw('x')), 9)), [sha256('x')]);
  assert.deepEqual(await gapDigests(inParts('', 9)), [sha256('')]);
});

for (const [name, text] of Object.entries({
  'is no JSON': 'x\n',
  'is no object': '[]\n',
  'is cut short': '{"type":2,"payl',
  'never ends': 'x'.repeat(5 * 1024 * 1024),
})) {
  test(`a tar-split with a record that ${name} is refused`, async () => {
    await assert.rejects(gapDigests(inParts(text, 65536)), UnusableTailError);
  });
}
