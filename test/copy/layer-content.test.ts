import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { learningContent, type LayerContent } from '../../src/copy/layer-content.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { eStargzLayer, zstdChunkedLayer } from '../support/chunked-layers.ts';
import { endOfTar, paddingOf, tarHeader } from '../support/layer-file.ts';
import { randomBytes } from '../support/images.ts';
import { tar } from '../support/tar-layer.ts';

interface Learnt {
  readonly content: LayerContent | undefined;
  readonly passed: Buffer;
}

/** Passes a layer through in packets of so many bytes. */
async function learn(layer: Buffer, packetBytes: number = 64 * 1024): Promise<Learnt> {
  let content: LayerContent | undefined;
  const packets = Array.from({ length: Math.ceil(layer.length / packetBytes) }, (_, index) =>
    layer.subarray(index * packetBytes, (index + 1) * packetBytes),
  );
  const stream = Readable.from(packets, { objectMode: false });
  const passed: Buffer[] = [];
  for await (const bytes of learningContent(stream, (learnt) => (content = learnt))) passed.push(bytes);
  return { content, passed: Buffer.concat(passed) };
}

const files = [
  { name: 'etc/name', content: 'one' },
  { name: 'bin/tool', content: randomBytes('tool', 100_000) },
];
const content = Buffer.concat([
  ...files.flatMap((file) => [tarHeader(file), Buffer.from(file.content), paddingOf(file)]),
  endOfTar,
]);
const halves = [content.subarray(0, 40_000), content.subarray(40_000)];
const skippable = Buffer.from('502a4d180400000061626364', 'hex');
const flushed = { finishFlush: constants.Z_SYNC_FLUSH };

const layers: Readonly<Record<string, { readonly bytes: Buffer; readonly compression: LayerContent['compression'] }>> =
  {
    'a plain tar': { bytes: content, compression: 'uncompressed' },
    'a gzipped layer': { bytes: gzipSync(content), compression: 'gzip' },
    'a gzipped layer of several members': {
      bytes: Buffer.concat(halves.map((half) => gzipSync(half))),
      compression: 'gzip',
    },
    'a zstd layer': { bytes: zstdCompressSync(content), compression: 'zstd' },
    'a zstd layer of several frames': {
      bytes: Buffer.concat(halves.map((half) => zstdCompressSync(half))),
      compression: 'zstd',
    },
    'a zstd layer with skippable frames between and behind': {
      bytes: Buffer.concat(halves.flatMap((half) => [zstdCompressSync(half), skippable])),
      compression: 'zstd',
    },
    'a zstd layer with a skippable frame before it': {
      bytes: Buffer.concat([skippable, zstdCompressSync(content)]),
      compression: 'zstd',
    },
    'a zstd:chunked layer': { bytes: zstdChunkedLayer(files).bytes, compression: 'zstd' },
  };

for (const [what, { bytes, compression }] of Object.entries(layers)) {
  test(`learns what ${what} holds, however it arrives, and passes its bytes on`, async () => {
    for (const packetBytes of [1000, 4099, 64 * 1024, bytes.length]) {
      const learnt = await learn(bytes, packetBytes);
      assert.deepEqual(learnt.content, { compression, diffId: digestOf(content) }, `packets of ${packetBytes} bytes`);
      assert.ok(learnt.passed.equals(bytes));
    }
  });
}

test('learns of an eStargz layer the content that its members hold, table of contents included', async () => {
  const { bytes } = eStargzLayer(files);
  const whole = await learn(bytes, 1000);
  assert.equal(whole.content?.compression, 'gzip');
  assert.deepEqual(await learn(bytes), whole);
});

const zstd = zstdCompressSync(content);
const broken: Readonly<Record<string, Buffer>> = {
  'an empty one': Buffer.alloc(0),
  'gzip that is cut': gzipSync(content).subarray(0, -20),
  'gzip that never ends': gzipSync(content, flushed).subarray(0, -8),
  'zstd that is cut': zstd.subarray(0, -3),
  'zstd whose second frame is cut': Buffer.concat([zstd, zstd.subarray(0, -3)]),
  'zstd with something else behind it': Buffer.concat([zstd, Buffer.from('something else')]),
  'gzip with something else behind it': Buffer.concat([gzipSync(content), Buffer.from('something else')]),
  'noise behind a header of gzip': Buffer.concat([gzipSync('').subarray(0, 10), randomBytes('noise', 200_000)]),
  'noise behind a header of zstd': Buffer.concat([zstd.subarray(0, 4), randomBytes('noise', 200_000)]),
};
for (const [what, bytes] of Object.entries(broken)) {
  test(`learns nothing of a layer that is ${what}, and passes it on`, async () => {
    for (const packetBytes of [7919, 64 * 1024, Math.max(1, bytes.length)]) {
      const learnt = await learn(bytes, packetBytes);
      assert.equal(learnt.content, undefined, `packets of ${packetBytes} bytes`);
      assert.ok(learnt.passed.equals(bytes));
    }
  });
}

test('tells gzip and zstd from what is plain by more than the first packet', async () => {
  for (const [bytes, compression] of [
    [gzipSync('content'), 'gzip'],
    [zstdCompressSync('content'), 'zstd'],
    [Buffer.from('content'), 'uncompressed'],
  ] as const) {
    for (const packetBytes of [1, 2, 3]) {
      assert.deepEqual((await learn(bytes, packetBytes)).content, {
        compression,
        diffId: digestOf(Buffer.from('content')),
      });
    }
  }
});

test('tells layers apart that begin with the same file', async () => {
  const [first, second] = ['a', 'b'].map((name) => zstdChunkedLayer([{ name: 'same' }, { name, content: name }]).bytes);
  assert.ok(first !== undefined && second !== undefined);
  assert.notEqual((await learn(first)).content?.diffId, (await learn(second)).content?.diffId);
});

test('learns nothing of a layer that nobody reads to its end', async () => {
  let learnt = 0;
  const reading = learningContent(
    Readable.from([gzipSync(tar({ a: 'a' }))], { objectMode: false }),
    () => (learnt += 1),
  );
  await reading.next();
  await reading.return(undefined);
  assert.equal(learnt, 0);
});

test('fails as the layer does', async () => {
  const failure = new Error('the connection broke');
  const layer = Readable.from(
    (function* () {
      yield gzipSync(content).subarray(0, 100);
      throw failure;
    })(),
    { objectMode: false },
  );
  const reading = learningContent(layer, () => assert.fail('nothing can be learnt'));
  await assert.rejects(Readable.from(reading).toArray(), failure);
});
