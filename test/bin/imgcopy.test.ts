import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { builtProgram } from '../support/imgcopy-command.ts';

test('wants the version of Node.js that package.json names', async () => {
  const { engines } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    engines: { node: string };
  };
  const [, major, minor] = /^>=(\d+)\.(\d+)\.0$/.exec(engines.node) ?? [];
  assert.match(await readFile(builtProgram, 'utf8'), new RegExp(`needed = \\[${major}, ${minor}\\]`));
});

for (const version of ['10.24.1', '20.20.2', '22.18.9']) {
  test(`says on Node.js ${version} that it is too old, with exit status 2`, () => {
    const { status, stdout, stderr } = runOn(version);
    assert.equal(status, 2);
    assert.equal(stdout, '');
    assert.match(stderr, new RegExp(`^imgcopy: needs Node.js 22.19 or newer, and this is ${version}\n  hint: `));
  });
}

test('compiled code is never kept below the working directory, whatever the variables say', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'imgcopy-cwd-'));
  try {
    for (const env of [{ XDG_CACHE_HOME: 'cache', HOME: '' }, { HOME: 'home' }, { XDG_CACHE_HOME: '', HOME: '' }]) {
      const { status } = spawnSync(process.execPath, [builtProgram, '--version'], { cwd, env });
      assert.deepEqual({ status, files: await readdir(cwd) }, { status: 0, files: [] });
    }
    spawnSync(process.execPath, [builtProgram, '--version'], {
      cwd,
      env: { XDG_CACHE_HOME: 'cache', HOME: join(cwd, 'home') },
    });
    assert.deepEqual(await readdir(cwd), ['home']);
  } finally {
    await rm(cwd, { recursive: true });
  }
});

test('stack traces of the built command name the classes of errors as the source does', () => {
  const args = [builtProgram, '--debug', '--dest-plain-http', 'dir:/nowhere/at/all', '127.0.0.1:1/app:v1'];
  const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: {} });
  assert.match(stderr, /^ImgcopyError: /m);
  assert.doesNotMatch(stderr, /_ImgcopyError|_NetworkError/);
});

test('a full disk behind standard output is an error with a code', { skip: !existsSync('/dev/full') }, () => {
  const full = openSync('/dev/full', 'w');
  const { stderr, status } = spawnSync(process.execPath, [builtProgram, '--help'], {
    encoding: 'utf8',
    env: {},
    stdio: ['ignore', full, 'pipe'],
  });
  closeSync(full);
  assert.equal(status, 1);
  assert.match(stderr, /^imgcopy: writing to standard output\n {2}.*ENOSPC.* \[ENOSPC\]\n$/);
});

function runOn(version: string): { status: number | null; stdout: string; stderr: string } {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`;
  const preload = `data:text/javascript,${encodeURIComponent(pretend)}`;
  return spawnSync(process.execPath, ['--import', preload, builtProgram, '--version'], { encoding: 'utf8' });
}
