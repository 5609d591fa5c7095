import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf } from '../../../src/digest/digest.ts';
import { asPromised, inflate } from '../../../src/partial/toc/inflate.ts';
import { UnusableTailError } from '../../../src/partial/toc/unusable-tail-error.ts';
import { randomBytes } from '../../support/images.ts';

const content = Buffer.concat([randomBytes('inflate', 100_000), Buffer.alloc(100_000)]);

for (const { compression, compress } of [
  { compression: 'zstd', compress: zstdCompressSync },
  { compression: 'gzip', compress: gzipSync },
] as const) {
  const compressed = compress(content);

  test(`${compression}: gives back what was compressed, up to the limit`, async () => {
    assert.deepEqual(await buffer(inflate(compressed, compression, content.length)), content);
    await assert.rejects(buffer(inflate(compressed, compression, content.length - 1)), UnusableTailError);
  });

  test(`${compression}: stops a bomb near the limit`, async () => {
    const bomb = compress(Buffer.alloc(64 * 1024 * 1024));
    let bytes = 0;
    await assert.rejects(async () => {
      for await (const chunk of inflate(bomb, compression, 1_000_000)) bytes += chunk.length;
    }, UnusableTailError);
    assert.ok(bytes <= 1_000_000);
  });

  test(`${compression}: what is cut short, altered or something else is refused`, async () => {
    const altered = Buffer.from(compressed);
    altered.fill(0xff, 0, 4);
    for (const broken of [compressed.subarray(0, -9), altered, Buffer.from('something else')]) {
      await assert.rejects(buffer(inflate(broken, compression, 1e9)), UnusableTailError);
    }
  });

  test(`${compression}: a reader may stop early`, async () => {
    for await (const chunk of inflate(compressed, compression, 1e9)) {
      assert.ok(chunk.length > 0);
      break;
    }
  });
}

test('content is compared with what was promised of it', async () => {
  const read = (digest: Buffer | undefined, size: number | undefined): Promise<Buffer> =>
    buffer(
      asPromised(inflate(gzipSync(content), 'gzip', 1e9), {
        digest: digest === undefined ? digest : digestOf(digest),
        size,
      }),
    );
  assert.deepEqual(await read(undefined, undefined), content);
  assert.deepEqual(await read(content, content.length), content);
  await assert.rejects(read(content, content.length + 1), UnusableTailError);
  await assert.rejects(read(Buffer.alloc(1), undefined), UnusableTailError);
});
