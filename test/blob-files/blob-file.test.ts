import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  type FileHandle,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { type BlobFile, type BlobFileOptions, openBlobFile } from '../../src/blob-files/blob-file.ts';
import { isPartialName } from '../../src/blob-files/partial-file.ts';
import { type Digest, digestHex, digestOf } from '../../src/digest/digest.ts';

const KIB = 1024;
const content = randomBytes(3 * 1024 * KIB + 17);
const digest = digestOf(content);
const partialName = `.imgcopy-sha256-${digestHex(digest)}.partial`;
const stateName = `.imgcopy-sha256-${digestHex(digest)}.state`;

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'imgcopy-blob-file-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function open(directory: string, options: Partial<BlobFileOptions> = {}): Promise<BlobFile> {
  return openBlobFile({ directory, digest, size: content.length, finalName: digestHex, ...options });
}

function streamOf(bytes: Buffer, pieceLength = 64 * KIB): Readable {
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, index) =>
    bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
  );
  return Readable.from(pieces, { objectMode: false });
}

/** A stream that gives some bytes and then fails. */
function breakingStream(bytes: Buffer): Readable {
  return Readable.from(
    (async function* () {
      yield* streamOf(bytes);
      throw new Error('the line broke');
    })(),
    { objectMode: false },
  );
}

type WriteV = (this: FileHandle, pieces: Uint8Array[], position: number) => Promise<unknown>;

/** What all open files share, for faults of the disk. */
async function handlePrototype(directory: string): Promise<FileHandle> {
  await using handle = await openFile(directory);
  return Object.getPrototypeOf(handle) as FileHandle;
}

async function assertPublished(directory: string): Promise<void> {
  assert.deepEqual(await readdir(directory), [digestHex(digest)], 'the blob alone is there');
  assert.ok(content.equals(await readFile(join(directory, digestHex(digest)))), 'with the right bytes');
}

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

test('takes pieces in any order, side by side', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const pieceLength = 100_001;
  const offsets = Array.from({ length: Math.ceil(content.length / pieceLength) }, (_, index) => index * pieceLength);
  const scattered = offsets.toSorted((a, b) => ((a * 7) % 31) - ((b * 7) % 31));
  await Promise.all(scattered.map((offset) => file.write(content.subarray(offset, offset + pieceLength), offset)));
  assert.equal(file.contiguous, content.length);
  await file.publish();
  await assertPublished(directory);
});

test('takes streams at different offsets side by side', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const half = 1_500_000;
  await Promise.all([
    file.writeStream(streamOf(content.subarray(half)), { offset: half }),
    file.writeStream(streamOf(content.subarray(0, half), 1000), { offset: 0 }),
  ]);
  await file.publish();
  await assertPublished(directory);
});

test('refuses to write over bytes that may be hashed already', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  await file.write(content.subarray(0, 10), 0);
  await assert.rejects(file.write(content.subarray(9, 20), 9), /written already/);
});

test('says that bytes are missing where a gap is left', async (t) => {
  await using file = await open(await temporaryDirectory(t));
  await file.write(content.subarray(0, 10), 0);
  await file.write(content.subarray(20), 20);
  assert.equal(file.contiguous, 10);
  await assert.rejects(file.publish(), { kind: 'integrity', found: '10 bytes' });
});

test('can be mended by writing parts again, after the digest was wrong', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const wrong = Buffer.from(content);
  wrong.fill(0, 5000, 6000);
  await file.writeStream(streamOf(wrong));
  await assert.rejects(file.publish(), { kind: 'integrity' });
  await file.invalidate([{ start: 5000, end: 6000 }]);
  assert.equal(file.contiguous, 5000);
  await file.write(content.subarray(5000, 6000), 5000);
  await file.publish();
  await assertPublished(directory);
});

test('goes on where a kept file ends (behaviour 75)', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using first = await open(directory);
    await assert.rejects(first.writeStream(breakingStream(content.subarray(0, 2_000_000))), /the line broke/);
    await first.keep();
  }
  assert.deepEqual(await readdir(directory), [partialName]);
  await using second = await open(directory, { resume: true });
  assert.equal(second.resumed, 2_000_000);
  await Promise.all([second.hashPrefix(), second.writeStream(streamOf(content.subarray(2_000_000)))]);
  await second.publish();
  await assertPublished(directory);
});

test('keeps only the part before the first gap', async (t) => {
  const directory = await temporaryDirectory(t);
  {
    await using file = await open(directory);
    await file.write(content.subarray(0, 1000), 0);
    await file.write(content.subarray(2000, 3000), 2000);
    assert.deepEqual((await readdir(directory)).toSorted(), [partialName, stateName]);
    await file.keep();
  }
  assert.deepEqual(await readdir(directory), [partialName]);
  assert.equal((await stat(join(directory, partialName))).size, 1000);
});

test('takes no gap for content after the process was killed', async (t) => {
  const directory = await temporaryDirectory(t);
  const left = await open(directory);
  await left.write(content.subarray(0, 1000), 0);
  await left.write(content.subarray(500_000), 500_000);
  const [partial, state] = await Promise.all([partialName, stateName].map((name) => readFile(join(directory, name))));
  await left[Symbol.asyncDispose]();
  await writeFile(join(directory, partialName), partial!);
  await writeFile(join(directory, stateName), state!);

  await using file = await open(directory, { resume: true });
  assert.equal(file.resumed, 1000);
  assert.deepEqual(await readdir(directory), [partialName]);
  await file.writeStream(streamOf(content.subarray(1000)));
  await file.publish();
  await assertPublished(directory);
});

test('moves the note on as the part without a gap grows', async (t) => {
  const directory = await temporaryDirectory(t);
  const large = randomBytes(20 * 1024 * KIB);
  await using file = await open(directory, { digest: digestOf(large), size: large.length });
  await file.write(large.subarray(-10), large.length - 10);
  await file.writeStream(streamOf(large.subarray(0, 18 * 1024 * KIB), 1024 * KIB), { offset: 0 });
  const state = (await readdir(directory)).find((name) => name.endsWith('.state'));
  const noted = Number(await readFile(join(directory, state!), 'latin1'));
  assert.ok(noted >= 8 * 1024 * KIB && noted <= 18 * 1024 * KIB, `${noted} bytes noted`);
});

test('begins again at zero when what was kept is wrong', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, partialName), Buffer.alloc(5000, 'x'));
  await using file = await open(directory, { resume: true });
  await file.writeStream(streamOf(content.subarray(5000)));
  await assert.rejects(file.publish(), { kind: 'integrity' });
  await file.restart();
  assert.equal(file.contiguous, 0);
  await file.writeStream(streamOf(content));
  await file.publish();
  await assertPublished(directory);
});

const unusable: [string, Partial<BlobFileOptions>, number, string | undefined][] = [
  ['is longer than the blob', { resume: true }, content.length + 1, undefined],
  ['has an unreadable note', { resume: true }, 5000, 'rubbish'],
  ['is not asked for', {}, 5000, undefined],
];
for (const [what, options, length, state] of unusable) {
  test(`begins at zero when what was kept ${what}`, async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, partialName), Buffer.alloc(length));
    if (state !== undefined) await writeFile(join(directory, stateName), state);
    await using file = await open(directory, options);
    assert.equal(file.resumed, 0);
    assert.equal((await stat(join(directory, partialName))).size, 0);
  });
}

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

test('keeping waits for pieces that are still being written, so that none lands behind a gap', async (t) => {
  const directory = await temporaryDirectory(t);
  const prototype = await handlePrototype(directory);
  const { writev } = prototype as { readonly writev: WriteV };
  const gate = Promise.withResolvers<void>();
  t.mock.method(prototype, 'writev', async function (this: FileHandle, pieces: Uint8Array[], position: number) {
    if (position > 0) await gate.promise;
    return await writev.call(this, pieces, position);
  });
  await using file = await open(directory);
  await file.write(content.subarray(0, 1000), 0);
  const late = file.write(content.subarray(2000, 3000), 2000);
  const kept = file.keep();
  gate.resolve();
  await Promise.all([late, kept]);
  assert.deepEqual(await readdir(directory), [partialName]);
  assert.equal((await stat(join(directory, partialName))).size, 1000);
});

test('hashes what came early as soon as the gap before it is filled', async (t) => {
  const directory = await temporaryDirectory(t);
  await using file = await open(directory);
  const read = t.mock.method(await handlePrototype(directory), 'read');
  await file.write(content.subarray(1000), 1000);
  assert.equal(read.mock.callCount(), 0);
  await file.write(content.subarray(0, 1000), 0);
  assert.ok(read.mock.callCount() >= 1);
  const before = read.mock.callCount();
  await file.publish();
  assert.equal(read.mock.callCount(), before, 'nothing was left to be hashed at the end');
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

test('says that the directory cannot be written', { skip: process.getuid?.() === 0 }, async (t) => {
  const directory = await temporaryDirectory(t);
  await chmod(directory, 0o500);
  await assert.rejects(open(directory), { code: 'ERR_NOT_WRITABLE' });
});

test('names of other algorithms and random names are told from foreign ones', async (t) => {
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
