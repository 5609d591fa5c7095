import assert from 'node:assert/strict';
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { EARLY_SYNC_BYTES } from '../../src/local/early-sync.ts';
import { isPartialName } from '../../src/local/partial-file.ts';
import { type Digest, digestHex, digestOf } from '../../src/digest/digest.ts';
import {
  assertPublished,
  content,
  digest,
  handlePrototype,
  open,
  partialName,
  streamOf,
  temporaryDirectory,
} from './one-blob.ts';

test('publishes a stream under its final name, readable by all (behaviour 77)', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  assert.equal(await file.writeStream(streamOf(content)), content.length);
  assert.deepEqual(await readdir(directory), [partialName], 'nothing under its digest before it is verified');
  assert.deepEqual(await file.publish(), { digest, size: content.length });
  await assertPublished(directory);
  assert.equal((await stat(join(directory, digestHex(digest)))).mode & 0o777, 0o644);
});

test('publishes an empty blob', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory, { digest: digestOf(Buffer.alloc(0)), size: 0 });
  await file.writeStream(Readable.from([]));
  assert.equal((await file.publish()).size, 0);
});

test('computes the digest of a stream that comes without one', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory, { digest: undefined, size: undefined });
  await file.writeStream(streamOf(content));
  assert.deepEqual(await file.publish(), { digest, size: content.length });
  await assertPublished(directory);
});

test('verifies sha512', async (t) => {
  const directory = await temporaryDirectory(t);
  const sha512 = digestOf(content, 'sha512');
  await using file = await open(directory, { digest: sha512 });
  await file.writeStream(streamOf(content));
  assert.equal((await file.publish()).digest, sha512);
});

test('refuses wrong bytes with both digests, and leaves nothing (behaviour 14)', async (t) => {
  const directory = await temporaryDirectory(t);
  const wrong = Buffer.from(content);
  wrong[12345]! ^= 1;
  {
    await using file = await open(directory);
    await file.writeStream(streamOf(wrong));
    await assert.rejects(file.publish(), { kind: 'integrity', expected: digest, found: digestOf(wrong) });
  }
  assert.deepEqual(await readdir(directory), []);
});

test('refuses a stream that is too short', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  await file.writeStream(streamOf(content.subarray(1)));
  await assert.rejects(file.publish(), { kind: 'integrity', found: `${content.length - 1} bytes` });
});

test('refuses a stream that is too long as soon as it is', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  const endless = Readable.from(
    (function* () {
      for (;;) yield content;
    })(),
    { objectMode: false },
  );
  await assert.rejects(file.writeStream(endless), { kind: 'integrity', message: /longer than its descriptor/ });
  assert.equal(endless.destroyed, true);
});

test('an abort ends the stream and leaves nothing when disposed of', async (t) => {
  const directory = await temporaryDirectory(t);
  const controller = new AbortController();
  {
    await using file = await open(directory, { signal: controller.signal });
    const silent = new Readable({ read() {} });
    silent.push(content.subarray(0, 1000));
    const writing = file.writeStream(silent);
    controller.abort();
    await assert.rejects(writing, { name: 'AbortError' });
    assert.equal(silent.destroyed, true);
  }
  assert.deepEqual(await readdir(directory), []);
});

test('does not write through a link that lies under its temporary name (behaviour 80)', async (t) => {
  const directory = await temporaryDirectory(t);
  const victim = join(directory, 'victim');
  await writeFile(victim, 'precious');
  await symlink(victim, join(directory, partialName));
  await assert.rejects(open(directory), { code: 'ELOOP' });
  assert.equal(await readFile(victim, 'utf8'), 'precious');
});

test('names the full disk, and what to do', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  t.mock.method(await handlePrototype(directory), 'writev', () => Promise.reject(full));
  await assert.rejects(file.writeStream(streamOf(content)), {
    code: 'ERR_DISK_FULL',
    side: 'destination',
    hint: /free some space/,
    cause: full,
  });
});

const large = Buffer.alloc(EARLY_SYNC_BYTES + content.length, content);

test('a large blob goes to the disk while it is written, so that its end need not wait for all of it', async (t) => {
  const directory = await temporaryDirectory(t);
  const prototype = await handlePrototype(directory);
  const early = t.mock.method(prototype, 'datasync');
  const last = t.mock.method(prototype, 'sync');
  await using file = await open(directory, { digest: digestOf(large), size: large.length });
  await file.writeStream(streamOf(large));
  assert.equal(early.mock.callCount(), 1);
  assert.equal(last.mock.callCount(), 0);
  await file.publish();
  assert.equal(last.mock.callCount(), 1);
});

test('a blob that the disk failed to take on the way is not published, and not left to the next run', async (t) => {
  const directory = await temporaryDirectory(t);
  const failure = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  t.mock.method(await handlePrototype(directory), 'datasync', () => Promise.reject(failure));
  {
    await using file = await open(directory, { digest: digestOf(large), size: large.length });
    await file.writeStream(streamOf(large));
    await assert.rejects(file.publish(), failure);
    await file.keep();
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a blob that the disk failed to take at its end is not left to the next run', async (t) => {
  const directory = await temporaryDirectory(t);
  const failure = Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
  t.mock.method(await handlePrototype(directory), 'sync', () => Promise.reject(failure));
  {
    await using file = await open(directory);
    await file.writeStream(streamOf(content));
    await assert.rejects(file.publish(), failure);
    await file.keep();
  }
  assert.deepEqual(await readdir(directory), []);
});

test('says that the directory cannot be written', { skip: process.getuid?.() === 0 }, async (t) => {
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o500);
  await assert.rejects(open(directory), { code: 'ERR_NOT_WRITABLE' });
});

test('names of other algorithms and random names are distinguished from foreign ones', async (t) => {
  const sha512: Digest = digestOf(content, 'sha512');
  const directory = await temporaryDirectory(t);
  await using known = await open(directory, { digest: sha512 });
  await using unknown = await open(directory, { digest: undefined });
  assert.equal(known.contiguous + unknown.contiguous, 0);
  const names = await readdir(directory);
  assert.equal(names.length, 2);
  assert.ok(names.every(isPartialName));
  for (const foreign of ['notes.partial', '.imgcopy-put-x.partial', `x${partialName}`, `${partialName}~`]) {
    assert.equal(isPartialName(foreign), false, foreign);
  }
});
