import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createCopier } from '../../../src/index.ts';
import { digestOf } from '../../../src/digest/digest.ts';
import { StoredMembers } from '../../../src/transports/archive/stored-members.ts';
import { TarWriter } from '../../../src/transports/archive/tar-writer.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { spoilFreeSlabs } from '../../support/free-slabs.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { temporaryFolder } from './archives.ts';

const MiB = 1024 * 1024;
const timeout = 60_000;
const image = buildImage({ layers: [randomBytes('one', 5 * MiB + 1), randomBytes('two', MiB + 77)] });

test('a long member of a file goes into a pipe through few blocks of memory, used again and again', async (t) => {
  const folder = await temporaryFolder(t);
  const layer = randomBytes('layer', 16 * MiB + 1);
  const path = join(folder, 'members');
  await writeFile(path, layer);
  await using handle = await open(path);
  const blocks = new Set<ArrayBufferLike>();
  const written: Buffer[] = [];
  const output = new Writable({
    write(bytes: Buffer, _encoding, done) {
      if (bytes.length > 1024) blocks.add(bytes.buffer);
      void turn().then(() => {
        written.push(Buffer.from(bytes));
        done();
      });
    },
  });
  const writer = new TarWriter(output);
  const stream = new StoredMembers(handle, path).stream({ offset: 0, size: layer.length }, { givesBack: true });
  await writer.addBlob('layer', stream, { digest: digestOf(layer), size: layer.length });
  await writer.end();
  assert.ok(Buffer.concat(written).subarray(512).subarray(0, layer.length).equals(layer));
  assert.ok(blocks.size <= 10, `${blocks.size} blocks`);
});

test('an archive has the same bytes behind a pipe with a slow reader, and in a registry', { timeout }, async (t) => {
  spoilFreeSlabs(t, 8);
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  registry.seed('app', 'v1', image);
  const file = join(folder, 'app.tar');
  await copier.copy(at(registry, 'app:v1'), `oci-archive:${file}:v1`);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const readSlowly = async (): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of createReadStream(pipe, { highWaterMark: 50_000 }) as AsyncIterable<Buffer>) {
      pieces.push(piece);
      for (let turns = 0; turns < 3; turns += 1) await turn();
    }
    return Buffer.concat(pieces);
  };
  const [, piped] = await Promise.all([copier.copy(`oci-archive:${file}:v1`, `oci-archive:${pipe}:v1`), readSlowly()]);
  assert.equal(digestOf(piped), digestOf(await readFile(file)));
  await copier.copy(`oci-archive:${file}:v1`, at(registry, 'other:v1'));
  await copier.copy(at(registry, 'other:v1'), `dir:${join(folder, 'out')}`);
  await assertHoldsOnly(join(folder, 'out'), image);
});

for (const form of ['as imgcopy writes it', 'index last']) {
  test(`an archive from a pipe has the same bytes wherever it goes: ${form}`, { timeout }, async (t) => {
    spoilFreeSlabs(t, 8);
    const folder = await temporaryFolder(t);
    await using registry = await startRegistry();
    await using copier = new TestCopier(await openHome(t));
    await using several = createCopier({ env: (await openHome(t)).env });
    registry.seed('app', 'v1', image);
    const file = join(folder, 'app.tar');
    await copier.copy(at(registry, 'app:v1'), `oci-archive:${file}:v1`);
    if (form === 'index last') indexLast(folder, file);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const source = `oci-archive:${pipe}:v1`;
    const fromPipe = async (...destinations: string[]): Promise<void> => {
      const writing = pipeline(createReadStream(file), createWriteStream(pipe));
      const [one, ...others] = destinations;
      await (others.length === 0 ? copier.copy(source, one ?? '') : several.copy(source, destinations));
      await writing;
    };
    await fromPipe(`oci-archive:${join(folder, 'copy.tar')}:v1`);
    await fromPipe(at(registry, 'other:v1'));
    await fromPipe(`oci:${join(folder, 'layout')}:v1`);
    await fromPipe(`oci:${join(folder, 'first')}:v1`, `dir:${join(folder, 'second')}`);
    await copier.copy(`oci-archive:${join(folder, 'copy.tar')}:v1`, `dir:${join(folder, 'out-0')}`);
    await copier.copy(at(registry, 'other:v1'), `dir:${join(folder, 'out-1')}`);
    await copier.copy(`oci:${join(folder, 'layout')}:v1`, `dir:${join(folder, 'out-2')}`);
    await copier.copy(`oci:${join(folder, 'first')}:v1`, `dir:${join(folder, 'out-3')}`);
    for (const name of ['out-0', 'out-1', 'out-2', 'out-3', 'second']) await assertHoldsOnly(join(folder, name), image);
  });
}

/** As other tools write it. */
function indexLast(folder: string, file: string): void {
  const layout = join(folder, 'unpacked');
  execFileSync('mkdir', [layout]);
  execFileSync('tar', ['-xf', file, '-C', layout]);
  execFileSync('tar', ['-cf', file, '-C', layout, 'blobs', 'oci-layout', 'index.json']);
}
