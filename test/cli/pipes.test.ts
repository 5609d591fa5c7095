import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { layoutBlobPath } from '../../src/manifest/image-layout.ts';
import { localPlatform } from '../../src/manifest/platform.ts';
import { readMembers } from '../../src/transports/archive/read-members.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer } from '../support/images.ts';
import { program } from '../support/imgcopy-command.ts';
import { dockerSave, tarOf, withPlainLayers } from '../transports/archive/archives.ts';
import { assertHoldsOnly, temporaryDirectory, writeImage } from '../transports/dir/image-directory.ts';

const local = localPlatform();
const other = { os: 'linux', architecture: local.architecture === 's390x' ? 'amd64' : 's390x' };
const foreign = buildImage({ layers: [tarGzLayer({ foreign: 'foreign' })], platform: other });
const image = buildImage({ layers: [tarGzLayer({ big: randomBytes('big', 3_000_000) })], platform: local });
const index = buildIndex({
  images: [
    { image: foreign, platform: other },
    { image, platform: local },
  ],
});

test('- as the destination is the archive alone, with all platforms; the reference goes to standard error', async (t) => {
  const folder = await stage(t);
  const { stdout, stderr, status } = await bash(folder, '$imgcopy -q dir:source - --digestfile digest > image.tar');
  assert.deepEqual([stdout, status], ['', 0]);
  assert.equal(stderr, `-@${index.manifest.digest}\n`);
  assert.equal(await readFile(join(folder, 'digest'), 'utf8'), index.manifest.digest);
  const names: string[] = [];
  let list: unknown;
  for await (const { name, open } of readMembers(createReadStream(join(folder, 'image.tar')), 'image.tar')) {
    names.push(name);
    if (name === 'manifest.json') list = JSON.parse((await buffer(open())).toString());
  }
  assert.deepEqual(names.slice(0, 3), ['oci-layout', 'index.json', 'manifest.json']);
  const [configDigest, ...layers] = [...image.blobs.keys()].map(layoutBlobPath);
  assert.deepEqual(list, [{ Config: configDigest, RepoTags: [], Layers: layers }], "docker loads this machine's image");
});

test('a pipe of three copies has the same bytes at its end', async (t) => {
  const folder = await stage(t);
  const { status, stdout } = await bash(folder, '$imgcopy -q dir:source - | $imgcopy -q - - | $imgcopy -q - dir:out');
  assert.deepEqual([stdout, status], [`dir:out@${index.manifest.digest}\n`, 0]);
  await assertHoldsOnly(join(folder, 'out'), index);
});

test('one platform goes through a pipe with -p', async (t) => {
  const folder = await stage(t);
  const platform = `${other.os}/${other.architecture}`;
  await bash(folder, `$imgcopy -q -p ${platform} dir:source - | $imgcopy -q - dir:out`);
  await assertHoldsOnly(join(folder, 'out'), foreign);
});

const saved = tarOf(dockerSave(image, ['app:v1']));

for (const [what, bytes] of Object.entries({ plain: saved, gzip: gzipSync(saved), zstd: zstdCompressSync(saved) })) {
  test(`- as the source is what docker save writes, ${what}`, async (t) => {
    const folder = await stage(t);
    await writeFile(join(folder, 'saved'), bytes);
    const { status, stderr } = await bash(
      folder,
      'cat saved | $imgcopy -q - dir:out && $imgcopy -q docker-archive:saved dir:out2',
    );
    assert.equal(status, 0, stderr);
    for (const out of ['out', 'out2']) await assertHoldsOnly(join(folder, out), withPlainLayers(image));
  });
}

test('xz is refused with what to do about it', async (t) => {
  const folder = await stage(t);
  await writeFile(join(folder, 'saved'), Buffer.from('fd377a585a000004', 'hex'));
  const { status, stderr } = await bash(folder, '$imgcopy -q - dir:out < saved');
  assert.equal(status, 1);
  assert.match(stderr, /compressed with xz, which is not supported\n.*hint: .*xz -dc FILE \| imgcopy - DST/);
});

test('a reader that goes away ends the copy quietly, with status 141', async (t) => {
  const folder = await stage(t);
  const { stderr, stdout } = await bash(
    folder,
    '{ $imgcopy -q dir:source -; echo $? > status; } | head -c 600 | wc -c',
  );
  assert.equal(stderr, '');
  assert.equal(stdout.trim(), '600');
  assert.equal((await readFile(join(folder, 'status'), 'utf8')).trim(), '141');
});

test('a reader that goes away is no error of what asks a question', async (t) => {
  const folder = await stage(t);
  await bash(folder, '$imgcopy -q dir:source oci:layout:v1');
  const questions = ['tags oci:layout', 'referrers oci:layout'];
  for (const verb of ['digest', 'inspect', 'inspect --raw', 'verify']) questions.push(`${verb} oci:layout:v1`);
  for (const question of questions) {
    const { stderr } = await bash(folder, `{ $imgcopy ${question}; echo $? >&2; } | true`);
    assert.equal(stderr, '0\n', question);
  }
});

test('the writer of a pipe succeeds although nothing of it is needed', async (t) => {
  const folder = await stage(t);
  await writeFile(join(folder, 'saved'), saved);
  await bash(folder, '$imgcopy -q - dir:out < saved');
  const { status, stderr } = await bash(
    folder,
    'set -o pipefail; { cat saved; head -c 3072000 /dev/zero; } | $imgcopy -q - dir:out',
  );
  assert.equal(status, 0, stderr);
});

test('standard input is an archive or a password, not both', async (t) => {
  const folder = await stage(t);
  const { status, stderr } = await bash(folder, 'echo secret | $imgcopy - dir:out --username ann --password-stdin');
  assert.equal(status, 2);
  assert.match(stderr, /standard input has either - or the password/);
});

test('standard output takes one archive, and standard input gives one', async (t) => {
  const folder = await stage(t);
  await writeFile(join(folder, 'saved'), saved);
  const twice = [
    ['$imgcopy dir:source - -', /two destinations are the same place: -\n/],
    ['$imgcopy dir:source - oci-archive:/dev/stdout', /two destinations are the same place: oci-archive:\/dev\/stdout/],
    ['$imgcopy - oci-archive:out.tar --since - < saved', /standard input has either - or -\n/],
    ['$imgcopy - oci-archive:out.tar --since oci-archive:/dev/stdin < saved', /either - or oci-archive:\/dev\/stdin\n/],
    ['$imgcopy verify - --same-as - < saved', /standard input has either - or -\n/],
    ['$imgcopy verify - --username ann --password-stdin < saved', /has either - or the password\n/],
    [
      '$imgcopy verify dir:source --same-as - --username ann --password-stdin < saved',
      /has either - or the password\n/,
    ],
    ['$imgcopy inspect - --username ann --password-stdin < saved', /has either - or the password\n/],
  ] as const;
  for (const [line, message] of twice) {
    const { status, stdout, stderr } = await bash(folder, line);
    assert.deepEqual([status, stdout.length], [2, 0], `${line}: ${stderr}`);
    assert.match(stderr, message);
  }
  assert.deepEqual((await readdir(folder)).toSorted(), ['saved', 'source']);
});

test('a full disk behind standard output, or behind a device, is told as such', async (t) => {
  const folder = await stage(t);
  for (const line of ['$imgcopy -q dir:source - > /dev/full', '$imgcopy -q dir:source oci-archive:/dev/full']) {
    const { status, stderr } = await bash(folder, line);
    assert.equal(status, 1);
    assert.match(stderr, /no space left to write .*\n.*\n +hint: free some space and run it again +\[ERR_DISK_FULL\]/);
  }
});

test('empty standard input is told as such', async (t) => {
  const folder = await stage(t);
  const { status, stderr } = await bash(folder, '$imgcopy - dir:out < /dev/null');
  assert.equal(status, 3);
  assert.match(stderr, /standard input is empty\n +hint: .*the program before the pipe/);
});

test('a terminal gets no archive, and gives none', async (t) => {
  const folder = await stage(t);
  const out = await bash(folder, 'script -qec "$imgcopy dir:source -" /dev/null');
  assert.equal(out.status, 2);
  assert.match(out.stdout.replaceAll(/\s+/g, ' '), /standard output is a terminal/);
  const typed = await bash(folder, 'script -qec "$imgcopy - dir:out" /dev/null');
  assert.equal(typed.status, 2);
  assert.match(typed.stdout.replaceAll(/\s+/g, ' '), /standard input is a terminal/);
});

test('a link to standard output is written through, and stays a link', async (t) => {
  const folder = await stage(t);
  await symlink('/proc/self/fd/1', join(folder, 'link'));
  for (const path of ['link', '/dev/stdout']) {
    const { stdout, status } = await bash(folder, `$imgcopy -q dir:source oci-archive:${path} | tar -t | head -2`);
    assert.deepEqual([stdout, status], ['oci-layout\nindex.json\n', 0]);
    assert.ok((await lstat(path === 'link' ? join(folder, path) : path)).isSymbolicLink());
  }
});

async function stage(t: TestContext): Promise<string> {
  const folder = await temporaryDirectory(t);
  await mkdir(join(folder, 'source'));
  await writeImage(join(folder, 'source'), index);
  return folder;
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs a line of bash in a folder, in which `$imgcopy` is the command. */
async function bash(cwd: string, line: string): Promise<Ended> {
  const env = { PATH: process.env['PATH'], HOME: cwd, imgcopy: `${process.execPath} ${program}`, SHELL: '/bin/bash' };
  const child = spawn('bash', ['-c', line], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { stdout, stderr, status };
}
