import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage } from '../test/support/images.ts';
import { startRealRegistry } from '../test/support/real-registries.ts';

// Usage: smoke.js NODE... (this program itself wants Node.js 24)
//
// Under each of these versions of Node.js, has the built command copy an image from a directory to a registry and back, and
// compares what came back.

const command = fileURLToPath(new URL('../bin/imgcopy.js', import.meta.url));
const registry = await startRealRegistry('docker-registry');
const work = mkdtempSync(join(tmpdir(), 'imgcopy-smoke-'));
try {
  const original = writeImage('original');
  for (const [index, node] of process.argv.slice(2).entries()) {
    const tag = `docker://${registry.host}/smoke-${index}:1`;
    const back = join(work, `back-${index}`);
    imgcopy(node, ['--version']);
    imgcopy(node, [`dir:${original}`, tag]);
    imgcopy(node, [tag, `dir:${back}`]);
    assert.deepEqual(contents(back), contents(original));
  }
} finally {
  rmSync(work, { recursive: true });
  await registry.stop();
}

/** Writes a small image in the layout of dir:, and returns its path. */
function writeImage(name) {
  const path = join(work, name);
  mkdirSync(path);
  const { manifest, blobs } = buildImage({ layers: { count: 3, size: 100_000 } });
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  writeFileSync(join(path, 'manifest.json'), manifest.bytes);
  for (const [digest, bytes] of blobs) writeFileSync(join(path, digest.replace('sha256:', '')), bytes);
  return path;
}

function imgcopy(node, args) {
  const { stdout: version } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  process.stdout.write(`Node.js ${version.trim()}: imgcopy ${args.join(' ')}\n`);
  const { status } = spawnSync(node, [command, ...args], { env: { ...process.env, HOME: work }, stdio: 'inherit' });
  assert.equal(status, 0);
}

function contents(path) {
  return new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'base64')]));
}
