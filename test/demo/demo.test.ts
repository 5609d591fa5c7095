import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const demo = fileURLToPath(new URL('demo.ts', import.meta.url));

async function runDemo(env: Readonly<Record<string, string>> = {}): Promise<{
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}> {
  const { FORCE_COLOR: _force, ...inherited } = process.env;
  const child = spawn(process.execPath, [demo], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const [[status], stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { status, stdout, stderr };
}

test('the demo copies an image of three platforms, and then a next version, and says what moved', async () => {
  const { status, stdout, stderr } = await runDemo();
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  const lines = [
    /\$ imgcopy docker:\/\/127\.0\.0\.1:\d+\/shop\/web:1\.0 docker:\/\/127\.0\.0\.1:\d+\/mirror\/web:1\.0\n/,
    /\$ imgcopy docker:\/\/127\.0\.0\.1:\d+\/mirror\/web:1\.0 dir:web\n/,
    /✔ The mirror has the same manifests and blobs, byte for byte\./,
    /✔ One request on each side, for the manifest\. No blob was asked for\./,
    /\$ imgcopy --json docker:\/\/127\.0\.0\.1:\d+\/shop\/api:2 dir:api\n/,
    /fetched from the source .* [\d,]+ bytes +\d\d\.\d %\n/,
    /✔ The changed layer was built from pieces: \d+ ranges of it/,
    /✔ The directory has version 2, byte for byte\./,
    /Those were 6 copies in [\d.]+ s\./,
  ];
  for (const line of lines) assert.match(stdout, line);
  assert.ok(!stdout.includes('\u001B'), 'no colours where no terminal is');
});

test('the demo shows colours where they are wanted, and fails where a copy fails', async () => {
  const { status, stdout, stderr } = await runDemo({ FORCE_COLOR: '1', IMGCOPY_PLATFORM: 'plan9/mips' });
  assert.equal(status, 1);
  assert.match(stderr, /The demo failed: imgcopy ended with status 3/);
  assert.ok(stdout.includes('\u001B['));
});
