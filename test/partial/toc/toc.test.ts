import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TocScanner } from '../../../src/partial/toc/toc-scanner.ts';
import { readToc, type Toc } from '../../../src/partial/toc/toc.ts';
import { UnusableTailError } from '../../../src/partial/toc/unusable-tail-error.ts';
import { inParts } from '../../support/in-parts.ts';

function read(toc: unknown, partBytes = 65536): Promise<Toc> {
  return readToc(inParts(typeof toc === 'string' ? toc : JSON.stringify(toc), partBytes));
}

const digest = `sha256:${'ab'.repeat(32)}`;
const small = {
  version: 1,
  entries: [
    { type: 'dir', name: 'a "quoted\\" [name] {with} brackets\\' },
    { type: 'reg', name: 'ünïcode 文', size: 7, offset: 100, endOffset: 200, digest },
    { type: 'chunk', name: 'x', offset: 150, chunkDigest: digest },
    { type: 'reg', name: 'empty', digest },
  ],
  tarSplitDigest: digest,
};

test('a table of contents is read however its text is cut', async () => {
  const whole = await read(small);
  assert.equal(whole.version, 1);
  assert.equal(whole.tarSplitDigest, digest);
  assert.deepEqual(
    whole.entries.map(({ size, payload }) => ({ size, payload })),
    [
      { size: 0, payload: undefined },
      { size: 7, payload: { offset: 100, endOffset: 200, digest } },
      { size: 0, payload: { offset: 150, endOffset: undefined, digest } },
      { size: 0, payload: undefined },
    ],
  );
  for (const size of [1, 2, 3, 7, 64]) assert.deepEqual(await read(small, size), whole);
  assert.deepEqual(await read(JSON.stringify(small, null, '\t'), 5), whole);
});

test('headers are equal where all that the table of contents knows of them is', async () => {
  const file = { type: 'reg', name: 'f', mode: 420, modtime: '2024-01-01T00:00:00Z', xattrs: { 'user.a': 'AA==' } };
  const plain = await headerOf(file);
  assert.equal(await headerOf({ ...file, digest, offset: 9, chunkSize: 4, innerOffset: 3 }), plain);
  for (const change of [{ name: 'g' }, { mode: 1 }, { uid: 1 }, { modtime: '2025' }, { xattrs: {} }, { devMinor: 1 }]) {
    assert.notEqual(await headerOf({ ...file, ...change }), plain);
  }
});

async function headerOf(entry: object): Promise<string | undefined> {
  const { entries } = await read({ version: 1, entries: [entry] });
  return entries[0]?.header;
}

test("an owner's name holds until another one comes for the same id", async () => {
  const entry = { type: 'dir', name: 'd' };
  const { entries } = await read({
    version: 1,
    entries: [{ ...entry, userName: 'root' }, { ...entry, uid: 5, userName: 'five' }, entry, { ...entry, uid: 5 }],
  });
  const [root, five, rootAgain, fiveAgain] = entries.map(({ header }) => header);
  assert.equal(rootAgain, root);
  assert.equal(fiveAgain, five);
  assert.notEqual(root, five);
});

for (const { name, text } of [
  { name: 'is cut short', text: JSON.stringify(small).slice(0, -1) },
  { name: 'goes on', text: `${JSON.stringify(small)}{}` },
  { name: 'closes too often', text: '}' },
  { name: 'is empty', text: '' },
  { name: 'is null', text: 'null' },
  { name: 'is a list', text: '[[{"type":"dir"}]]' },
  { name: 'has no entries', text: '{"version":1}' },
  { name: 'has entries twice', text: '{"version":1,"entries":[],"entries":[]}' },
  { name: 'has an object for entries', text: '{"version":1,"entries":{"a":{}}}' },
  { name: 'has another list', text: '{"version":1,"files":[{"type":"dir"}]}' },
  { name: 'has another version', text: '{"version":3,"entries":[]}' },
  { name: 'has a version that is a text', text: '{"version":"1","entries":[]}' },
  { name: 'has a list for an entry', text: '{"version":1,"entries":[[]]}' },
  { name: 'has a broken entry', text: '{"version":1,"entries":[{"type":}]}' },
  { name: 'has a tar-split digest that is none', text: '{"version":1,"entries":[],"tarSplitDigest":"sha256:x"}' },
  { name: 'nests deeply', text: `{"version":1,"entries":[${'['.repeat(1e6)}` },
  { name: 'has an entry without end', text: `{"version":1,"entries":[{"name":"${'x'.repeat(2 ** 21)}"}]}` },
  { name: 'has too much around its entries', text: `{"version":1,"comment":"${'x'.repeat(5000)}","entries":[]}` },
  { name: 'has too many entries', text: `{"version":1,"entries":[${'{"type":"dir"},'.repeat(200_001)}` },
]) {
  test(`a table of contents that ${name} is refused`, async () => {
    await assert.rejects(read(text), UnusableTailError);
  });
}

test('an error never repeats what the text says', async () => {
  const escape = '\u001b[2J';
  for (const entry of [
    `{"name":"${escape}"`,
    `{"type":"reg","size":5,"digest":"${escape}"}`,
    `{"mode":["${escape}"]}`,
  ]) {
    await assert.rejects(read(`{"version":1,"entries":[${entry}]}`), (error: UnusableTailError) => {
      assert.equal(error.message.includes(escape), false);
      assert.equal(error.cause, undefined);
      return error instanceof UnusableTailError;
    });
  }
});

test('the scanner gives each element as soon as it has ended', () => {
  const scanner = new TocScanner();
  assert.deepEqual([...scanner.elementsIn(Buffer.from('{"list":[{"a":1},{"b":[{}]'))], [{ a: 1 }]);
  assert.deepEqual([...scanner.elementsIn(Buffer.from('}],"more":true}'))], [{ b: [{}] }]);
  assert.deepEqual(scanner.finish(), { list: [], more: true });
});
