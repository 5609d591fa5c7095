import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { program, runImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';
import { skip, STRANGER, workingDirectory } from './stranger.ts';

const image = buildImage({ layers: { count: 2, size: 2_000 } });
const PATH = process.env['PATH'] ?? '';

test('an argument that is not UTF-8 is refused, for its path would be another one', async (t) => {
  const cwd = await workingDirectory(t);
  // The shell hands on the byte; Node.js itself could not.
  const script = `exec "$0" "$1" -q registry.test/app:1 dir:caf$(printf '\\351')/x`;
  const child = spawn('sh', ['-c', script, process.execPath, program], { cwd, env: { PATH } });
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>]);
  assert.equal(status, 2);
  assert.match(stderr, /not UTF-8\n {2}hint: .*\[ERR_ARGUMENT_NOT_UTF8\]/);
  assert.deepEqual(await readdir(cwd), []);
});

test('a working directory that is not UTF-8 is refused, for it is not where the image would go', async (t) => {
  await using registry = await startRegistry();
  registry.seed('app', '1', image);
  const cwd = await workingDirectory(t);
  const script = `d=$(printf 'caf\\351'); mkdir "$d" && cd "$d" && exec "$0" "$1" -q ${registry.host}/app:1 dir:x`;
  const child = spawn('sh', ['-c', script, process.execPath, program], { cwd, env: { PATH } });
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>]);
  assert.equal(status, 2);
  assert.match(stderr, /\[ERR_PATH_NOT_UTF8\]/);
  assert.equal((await readdir(cwd)).length, 1);
});

test('a file that cannot be read is not told as a broken connection', { skip }, async (t) => {
  await using registry = await startRegistry();
  const cwd = await workingDirectory(t);
  await writeImage(join(cwd, 'from'), image);
  const [blob = ''] = (await readdir(join(cwd, 'from'))).filter((name) => /^[0-9a-f]{64}$/.test(name));
  await chmod(join(cwd, 'from', blob), 0o000);
  const { status, stderr } = await runImgcopy(['-q', 'dir:from', `${registry.host}/copy:1`], {
    env: {},
    cwd,
    uid: STRANGER,
  });
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`cannot read .*${blob}`));
  assert.match(stderr, /hint: let the user who runs imgcopy read it .*\[ERR_NOT_READABLE\]/);
  assert.doesNotMatch(stderr, /connection/);
});
