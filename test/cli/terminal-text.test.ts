import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { createCliHome, program, type CliHome } from '../support/imgcopy-command.ts';
import { buildArtifact } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';

/** Clears the screen in one character, turns around what follows it, and ends a line. */
const EVIL = '\u009B2J\u202E\u0085\u2028';
const HARMFUL = /[\p{Cf}\u007F-\u009F\u2028\u2029]/u;

const artifact = buildArtifact({ artifactType: `application/${EVIL}`, files: { 'a.json': '{}' } });
const hasScript = spawnSync('script', ['--version']).status === 0;

let home: CliHome;
let registry: TestRegistry;

before(async () => {
  home = await createCliHome();
  registry = await startRegistry();
  registry.seed('app', '1', artifact);
});

after(async () => {
  await registry.close();
  await home[Symbol.asyncDispose]();
});

/** What a command prints on a terminal, both streams. */
async function onTerminal(command: string): Promise<string> {
  const { stdout } = spawn('script', ['-qec', `"${process.execPath}" "${program}" ${command}`, '/dev/null'], {
    env: { HOME: home.path, PATH: process.env['PATH'], TERM: 'xterm' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return await text(stdout);
}

describe('texts of others on a terminal', () => {
  test('JSON has escapes in the place of what would steer it, and the same value', async () => {
    const { stdout } = await home.run(['inspect', '--json', `${registry.host}/app:1`]);
    assert.doesNotMatch(stdout, HARMFUL);
    assert.equal((JSON.parse(stdout) as { artifactType: string }).artifactType, `application/${EVIL}`);
  });

  test('events in JSON have them as well', async () => {
    const path = join(home.path, `from-${EVIL}`);
    await writeImage(path, artifact);
    const { status, stderr } = await home.run(['--progress=json', `dir:${path}`, `${registry.host}/copy:1`]);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, HARMFUL);
    const [first = ''] = stderr.split('\n');
    assert.match((JSON.parse(first) as { source: string }).source, new RegExp(`from-${EVIL}`, 'u'));
  });

  test('a raw manifest is exact in a pipe', async () => {
    const { stdout } = await home.run(['inspect', '--raw', `${registry.host}/app:1`]);
    assert.equal(stdout, artifact.manifest.bytes.toString());
  });

  test('a raw manifest has escapes on a terminal', { skip: !hasScript && 'there is no script(1)' }, async () => {
    const shown = await onTerminal(`inspect --raw ${registry.host}/app:1`);
    assert.doesNotMatch(shown, HARMFUL);
    assert.deepEqual(JSON.parse(shown), JSON.parse(artifact.manifest.bytes.toString()));
  });

  test('neither a message nor its stack trace can begin a line of its own', async () => {
    const path = `none${EVIL}\n    at forged (file:1:1)\nimgcopy: done`;
    const { stderr } = await home.run(['--debug', `dir:${path}`, `${registry.host}/copy:1`]);
    assert.match(stderr, /^ {4}at .*:\d+:\d+\)?$/m);
    assert.doesNotMatch(stderr, /^ {4}at forged|^imgcopy: done/m);
    assert.doesNotMatch(stderr, HARMFUL);
  });
});
