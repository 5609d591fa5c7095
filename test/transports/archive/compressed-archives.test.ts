import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { decompressed } from '../../../src/transports/archive/decompressed.ts';
import { openHome, TestCopier } from '../../library/test-copier.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { requireTool } from '../../support/real-tools.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { ociArchive, tarOf, temporaryFolder } from './archives.ts';

const MiB = 1024 * 1024;
const image = buildImage({ layers: [randomBytes('one', 100_000), Buffer.alloc(3 * MiB)] });
const tar = tarOf(ociArchive(image, 'v1'));
/** A frame without content, as pzstd writes it before each of its frames. */
const skippable = Buffer.from('502a4d1804000000aabbccdd', 'hex');

/** In pieces that do not end where members do. */
const parts = [tar.subarray(0, 1000), tar.subarray(1000, 1001), tar.subarray(1001, 200_000), tar.subarray(200_000)];

const compressions: Readonly<Record<string, readonly Buffer[]>> = {
  'one gzip member': [gzipSync(tar)],
  'several gzip members': parts.map((part) => gzipSync(part)),
  'gzip with zeros behind it': [gzipSync(tar), Buffer.alloc(512)],
  'one zstd frame': [zstdCompressSync(tar)],
  'several zstd frames': parts.map((part) => zstdCompressSync(part)),
  'zstd frames with skippable ones between them': parts.flatMap((part) => [skippable, zstdCompressSync(part)]),
  'an empty zstd frame first': [zstdCompressSync(Buffer.alloc(0)), zstdCompressSync(tar)],
};

for (const [what, members] of Object.entries(compressions)) {
  test(`an archive is read out of ${what}`, async (t) => {
    const whole = Buffer.concat(members);
    // Each member a piece, all in one, and pieces that end anywhere.
    const cuts = [members, [whole], Array.from({ length: 1000 }, (_, index) => cut(whole, index, 1000))];
    for (const pieces of cuts) {
      const stream = await decompressed(Readable.from(pieces, { objectMode: false }), 'oci-archive:x');
      assert.ok((await buffer(stream)).equals(tar));
    }
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, 'app.tar'), whole);
    await using copier = new TestCopier(await openHome(t));
    await copier.copy(`oci-archive:${join(folder, 'app.tar')}:v1`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), image);
  });
}

for (const tool of ['pzstd', 'pigz']) {
  test(`an archive is read that ${tool} has compressed`, async (t) => {
    if (requireTool(t, tool) === undefined) return;
    const folder = await temporaryFolder(t);
    const path = join(folder, 'app.tar');
    await writeFile(path, tar);
    const compressed = execFileSync(tool, ['-c', '-p', '4', path], {
      maxBuffer: 64 * MiB,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await writeFile(path, compressed);
    await using copier = new TestCopier(await openHome(t));
    await copier.copy(`oci-archive:${path}:v1`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), image);
  });
}

for (const [compression, compress] of Object.entries({ gzip: gzipSync, zstd: zstdCompressSync })) {
  test(`${compression} that is cut or damaged is an invalid archive`, async () => {
    const whole = Buffer.concat([compress(tar.subarray(0, 5000)), compress(tar.subarray(5000))]);
    // The header of the second member.
    const damaged = Buffer.from(whole).fill(0xff, compress(tar.subarray(0, 5000)).length);
    for (const bytes of [whole.subarray(0, -20), damaged]) {
      const stream = await decompressed(Readable.from([bytes], { objectMode: false }), 'oci-archive:x');
      const message = new RegExp(`^oci-archive:x is not valid ${compression} data`);
      await assert.rejects(buffer(stream), { code: 'ERR_INVALID_ARCHIVE', message });
    }
  });

  test(`a bomb in ${compression} is decompressed no faster than it is read`, async () => {
    const bytes = 256 * MiB;
    const member = compress(Buffer.alloc(32 * MiB));
    const bomb = Buffer.concat(Array.from({ length: 8 }, () => member));
    assert.ok(bomb.length < MiB);
    const stream = await decompressed(Readable.from([bomb], { objectMode: false }), 'oci-archive:x');
    const before = process.memoryUsage().arrayBuffers;
    let [total, most] = [0, 0];
    for await (const piece of stream as AsyncIterable<Buffer>) {
      total += piece.length;
      // Whatever would be decompressed ahead has a turn to come.
      if (total % (16 * MiB) < piece.length) await new Promise(setImmediate);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    assert.equal(total, bytes);
    assert.ok(most < 128 * MiB, `${most} bytes in memory`);
  });
}

function cut(bytes: Buffer, index: number, count: number): Buffer {
  return bytes.subarray((bytes.length * index) / count, (bytes.length * (index + 1)) / count);
}
